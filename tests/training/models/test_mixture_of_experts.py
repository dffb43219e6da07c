"""Two towers over video, uploader and tags: what each reads, and the plain dual tower inside."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.errors import BadInputError
from features.positives import Action
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.config import parse_overrides
from training.evaluation import judge_bundle
from training.gate import paired_interval
from training.items import Field, Items
from training.models.mixture_of_experts import (
    MixtureOfExpertsConfig,
    MixtureOfExpertsNetwork,
    VideoFields,
)
from training.run import train
from training.settings import TrainingSettings
from training.side_features import SHARED_SPEED

POSITIVE = int(Action.POSITIVE)
# Video 1: uploader 1, tags 1 and 2. Video 2: uploader 2, tag 2. Video 3: nothing known.
UPLOADERS = Field(np.array([[0], [1], [2], [0]]), 3)
ITEMS = Items(4, {"uploader_id": UPLOADERS, "tag_ids": Field(np.array([[0, 0], [1, 2], [2, 0], [0, 0]]), 3)})


def network(**settings: object) -> MixtureOfExpertsNetwork:
    torch.manual_seed(7)
    small = {"dim": 8, "history_length": 4, "dropout": 0.0, "num_hidden": 4}
    return MixtureOfExpertsNetwork(ITEMS, MixtureOfExpertsConfig.model_validate(small | settings)).eval()


def history(
    *rows: int, actions: list[int] | None = None, ages: list[float] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One user, newest watch last."""
    return (
        torch.tensor([rows]),
        torch.tensor([actions or [POSITIVE] * len(rows)]),
        torch.tensor([ages or [0.0] * len(rows)]),
    )


def test_a_video_is_itself_its_uploader_and_the_mean_of_its_tags() -> None:
    fields = VideoFields(ITEMS, 8)
    vectors = fields(torch.arange(4))
    assert vectors.shape == (4, 3, 8)
    torch.testing.assert_close(vectors[:, 0], fields.videos.weight)
    torch.testing.assert_close(vectors[1, 1], SHARED_SPEED * fields.uploaders.values.weight[1])
    torch.testing.assert_close(vectors[1, 2], SHARED_SPEED * fields.tags.values.weight[1:3].mean(dim=0))
    torch.testing.assert_close(vectors[2, 2], SHARED_SPEED * fields.tags.values.weight[2])
    assert not vectors[3, 1:].any(), "what is not known says nothing"


def test_both_towers_share_the_vectors_of_uploaders_and_tags() -> None:
    ours = network()
    item, user = ours.item_vectors(torch.tensor([2])), ours(*history(1))
    with torch.no_grad():
        ours.fields.tags.values.weight[2] += 1.0
    assert not torch.allclose(ours.item_vectors(torch.tensor([2])), item)
    assert not torch.allclose(ours(*history(1)), user)


def test_one_expert_and_one_interest_are_the_plain_dual_tower() -> None:
    ours = network(num_experts=1, num_interests=1)
    with torch.no_grad():
        ours.experts.to_output.zero_()
        ours.experts.blocks.fill_(1.0)
        ours.experts.offsets.zero_()
    # One watch: all three pools are its fields, and without hidden units the tower adds them up.
    torch.testing.assert_close(ours(*history(1))[0], ours.item_vectors(torch.tensor([1])))
    assert ours.penalty_weights == {}, "one expert is never uneven"


def test_several_interests_need_several_experts() -> None:
    with pytest.raises(BadInputError, match="one expert gives one interest, and num_interests=4"):
        parse_overrides(MixtureOfExpertsConfig, ["num_experts=1"])


def pools(rows: list[int], actions: list[int], ages: list[float]) -> torch.Tensor:
    """(3, D): the video vectors pooled over positives, all and latest watches, as the experts get them."""
    ours = network(latest_half_life_days=2.0)
    got: list[torch.Tensor] = []
    ours.experts.register_forward_pre_hook(lambda module, inputs: got.append(inputs[0]))
    ours(*history(*rows, actions=actions, ages=ages))
    weights = torch.linalg.lstsq(
        ours.fields.videos.weight.T[:, 1:].double(), got[0][0, [0, 3, 6]].T.double()
    ).solution
    return weights.T


def test_pools_hold_the_positives_all_watches_and_the_latest_ones() -> None:
    weights = pools([1, 2, 3], [POSITIVE, 0, POSITIVE], [5.0, 3.0, 1.0])  # half-life 2 days
    expected = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1 / 4, 1 / 2, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(weights, F.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_without_a_positive_its_pool_is_empty() -> None:
    weights = pools([1, 2], [0, int(Action.LIKED)], [1.0, 1.0])
    assert weights[0].abs().max() < 1e-6
    assert weights[1, 0].item() == pytest.approx(2**-0.5, abs=1e-5)


def test_very_old_watches_leave_early_prefixes_finite() -> None:
    ours = network(objective="next_item")
    interests = ours.route_prefixes(*history(1, 2, 3, ages=[900.0, 899.0, 0.0])).interests
    torch.testing.assert_close(interests[:1], ours(*history(1)))


def test_the_penalty_counts_real_queries_only() -> None:
    ours = network()
    penalty = ours.route(*history(1, 2)).penalties["expert_imbalance"]
    padded = [torch.cat([part, torch.zeros_like(part)]) for part in history(1, 2)]
    torch.testing.assert_close(ours.route(*padded).penalties["expert_imbalance"], penalty)
    assert ours.penalty_weights == {"expert_imbalance": 0.1}


@pytest.mark.slow
def test_planted_interests_are_found_and_stay_apart(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.1)
    options = {"settings": settings, "training": TrainingSettings(mlflow_uri="off", train_threads=1)}
    small = ["dim=32", "epochs=8", "batch_size=16", "refit_epochs=2"]
    bundle = train("mixture_of_experts", at(7), overrides=small, show_progress=False, **options)
    popular = train("popularity", at(7), overrides=["window_days=none"], show_progress=False, **options)
    ours, theirs = (judge_bundle(b, at(7), at(8), settings=settings) for b in (bundle, popular))
    assert paired_interval(ours, theirs)[0] > 0.5, "half as many hits again, in the worst case"
    assert (ours.metrics["mean_cosine"] or 1.0) < 0.93
    assert min(ours.metrics[f"share_won_{k}"] or 0 for k in range(4)) > 0.03, "every interest wins something"
