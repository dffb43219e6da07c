"""Settings of a training run that decide its outcome; they travel in the manifest of the bundle.

``ModelConfig`` is what every model shares, ``TrainConfig`` what the loop reads. A model adds its own
fields in its file. Defaults are the reference run.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from features.errors import BadInputError
from features.positives import PositiveRule

C = TypeVar("C", bound="ModelConfig")
Share = Annotated[float, Field(ge=0, le=1)]


class ModelConfig(BaseModel):
    """What every model is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: PositiveRule = PositiveRule()
    """Which watches are positives."""
    min_watches: PositiveInt = 1
    """A video enters the vocabulary when it was watched this often before the cut."""


class TrainConfig(ModelConfig):
    """What the loop, the objective and the sampler are told."""

    seed: int = 7
    """Fixes initial weights, batches, hidden videos and negatives."""
    validation_days: PositiveFloat = 1.0
    """The last days before the cut choose the number of epochs; later days are never looked at."""
    refit_epochs: NonNegativeInt = 3
    """Further passes, over all days, once validation has chosen the best epoch; 0: none."""
    epochs: PositiveInt = 10
    """Passes over the users at most; the learning rate is planned for all of them."""
    patience: PositiveInt = 3
    """Stop after so many epochs without a better ``recall_at_50`` on the validation days."""
    batch_size: PositiveInt = 64
    """Users per step."""
    learning_rate: PositiveFloat = 1e-3
    """Peak of the schedule: linear warm-up, flat, then a cosine to zero."""
    table_learning_rate: PositiveFloat = 1e-2
    """The same for the tables with a row per video; as slow as the rest, they take ten times as long."""
    warmup_steps: NonNegativeInt = 100
    """Steps until the peak; at most a tenth of the run."""
    warmth: float = Field(default=3.0, ge=1)
    """Factor on the temperature at the first step. A sharp softmax of untrained vectors is worse than a flat
    one: to flatten it, all vectors first turn to one direction, and need epochs to part again."""
    clip_norm: PositiveFloat = 5.0
    """Gradients longer than this are shortened to it."""
    sequence_length: PositiveInt = 200
    """Newest watches of a user that training draws from, hidden and visible ones together."""
    hide_share_min: Share = 0.2
    """Smallest share of a user's videos that one example hides."""
    hide_share_max: Share = 0.6
    """Largest share; the share of an example is uniform between the two."""
    weak_weight: NonNegativeFloat = 0.3
    """Weight of a hidden plain play (neither positive, skipped nor disliked); a positive weighs 1."""
    num_negatives: PositiveInt = 1024
    """Sampled videos per step, shared by the batch; from the size of the vocabulary on, all of it."""
    popularity_share: Share = 0.5
    """Share of the negatives drawn by watch count; the rest is drawn uniformly."""

    activation_half_life: PositiveFloat = 2.0
    """Epochs after which an activation counts half in the record of which interests training activated."""

    @model_validator(mode="after")
    def _shares_are_ordered(self) -> "TrainConfig":
        if self.hide_share_min > self.hide_share_max:
            raise ValueError(
                f"hide_share_min={self.hide_share_min} lies above hide_share_max={self.hide_share_max}"
            )
        return self


def parse_overrides(config_class: type[C], overrides: Sequence[str]) -> C:
    """The defaults of ``config_class`` with every ``key=value`` of ``overrides`` put in.

    ``a.b=value`` reaches into a nested model; ``none`` unsets an optional value.

    Raises:
        BadInputError: unknown key or unusable value; the text lists what is allowed.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise BadInputError(f"{override!r} is not of the form key=value")
        place = values
        *parents, leaf = key.strip().split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = None if text.strip().lower() == "none" else text.strip()
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        allowed = ", ".join(sorted(config_class.model_fields))
        raise BadInputError(f"cannot use {list(overrides)}: {problems}. Allowed keys: {allowed}") from error
