"""Plots among a run's artifacts: whom it serves well, how many interests people have, how alike these are.

Each takes 0.1 to 0.3 s of one core. Shape letter: K interests.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float

from features.bundle import ACTIVATION, ACTIVATIONS, Bundle, user_sums
from features.plots import empty_plot
from features.schema import INTEREST, USER_ID
from training.evaluation import Judgement
from training.metrics import MAIN_METRIC, Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE: Final = "#3b7dd8"


def plots_of(bundle: Bundle, judgement: Judgement) -> Iterator[tuple[str, "Figure"]]:
    """File name and plot of everything that the bundle and its judgement have figures for."""
    for grouping, groups in judgement.groups.items():
        yield f"{MAIN_METRIC}_by_{grouping}.png", recall_by_group(grouping, groups)
    if ACTIVATION in bundle.manifest.files or ACTIVATION in user_sums(bundle.path):
        yield "interest_activation.png", interest_activation(bundle)
    if judgement.cosines is not None and len(judgement.cosines) > 1:
        yield "interest_similarity.png", interest_similarity(judgement.cosines)


def recall_by_group(grouping: str, groups: Mapping[str, Metrics]) -> "Figure":
    """``recall_at_50`` of each group, with the number of its users; groups without any are left out."""
    figure, axes = empty_plot()
    groups = {label: metrics for label, metrics in groups.items() if metrics["num_users"]}
    labels = [f"{label}\n{metrics['num_users']:,.0f} users" for label, metrics in groups.items()]
    bars = axes.bar(labels, [metrics.get(MAIN_METRIC) or 0.0 for metrics in groups.values()], color=BLUE)
    axes.bar_label(bars, fmt="%.3f", padding=2)
    axes.set(title=f"{MAIN_METRIC} by {grouping}", ylabel=MAIN_METRIC)
    return figure


def interest_activation(bundle: Bundle) -> "Figure":
    """How many interests users have: exp of the entropy of what each one's interests won in training."""
    figure, axes = empty_plot()
    _, users = np.unique(bundle.activation[USER_ID].to_numpy(), return_inverse=True)
    interests = bundle.activation[INTEREST].to_numpy()
    num_interests = max(bundle.manifest.num_interests, 1)
    won = np.zeros((users.max(initial=-1) + 1, num_interests))
    won[users, interests] = bundle.activation[ACTIVATIONS].to_numpy()
    effective = np.exp(_entropy(won[won.sum(axis=1) > 0]))
    axes.hist(effective, bins=np.linspace(1, max(num_interests, 2), 31).tolist(), color=BLUE)
    axes.set(title="interests that training activated", xlabel="effective interests", ylabel="users")
    return figure


def interest_similarity(cosines: Float[np.ndarray, "K K"]) -> "Figure":
    """Cosine between every two interests as a heat map; 1 beside the diagonal: they are the same."""
    figure, axes = empty_plot()
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r")
    for (row, column), cosine in np.ndenumerate(cosines):
        colour = "white" if abs(cosine) > 0.6 else "black"
        axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", color=colour)
    places = range(len(cosines))
    axes.set(title="cosine between interests, mean over users", xticks=places, yticks=places)
    figure.colorbar(image)
    return figure


def _entropy(won: Float[np.ndarray, "U K"]) -> Float[np.ndarray, " U"]:
    shares = won / won.sum(axis=1, keepdims=True)
    return -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
