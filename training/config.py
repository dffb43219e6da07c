"""Settings of a training run that decide its outcome; they travel in the manifest of the bundle.

``ModelConfig`` is what every model shares, ``TrainConfig`` what the loop reads, ``InterestConfig`` what
every network with interest vectors has, ``EncoderConfig`` what the transformer over the history adds. A
model adds its own fields in its file. Defaults are the reference run."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

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

from features.errors import BadInputError, problems_of
from features.positives import PositiveRule
from training.action_bits import ALL_ACTIONS, ActionNames

C = TypeVar("C", bound="ModelConfig")
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Assignment = Literal["hard", "label_aware", "max_readout", "one_to_one"]
Loss = Literal["softmax", "sigmoid_focal"]
Objective = Literal["set_to_set", "horizon", "next_item"]
Precision = Literal["float32", "bfloat16"]
HistoryTables = Literal["shared", "by_action"]


class ModelConfig(BaseModel):
    """What every model is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: PositiveRule = PositiveRule()
    """Which watches are positives."""
    min_watches: PositiveInt = 1
    """A video enters the vocabulary when it was watched this often before the cut."""


class TrendConfig(BaseModel):
    """How the trend is measured, and how much it says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    power: NonNegativeFloat = 0.0
    """Exponent of the factor; 0: no trend. Above 1 recall falls."""
    window_days: PositiveFloat = 1.5
    """A play counts e times less after so many days."""
    smoothing: PositiveFloat = 10.0
    """Plays added to both counts."""


class ActionWeights(BaseModel):
    """Factors on the weight of a target; of several actions the largest counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    like: float = Field(default=1.0, ge=1)
    """Of a video that the user liked."""
    follow: float = Field(default=1.0, ge=1)
    """Of one whose uploader the user followed from it."""
    share: float = Field(default=1.0, ge=1)
    """Of one that the user shared."""
    comment: float = Field(default=1.0, ge=1)
    """Of one that the user commented on."""


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
    objective: Objective = "set_to_set"
    """What predicts what: hidden videos from the rest, the positives of the next days from those before, or
    the next positive from every prefix; see ``training/examples.py``."""
    horizon_days: PositiveFloat = 5.0
    """Days after the cut whose positives are targets of the objective ``horizon``."""
    sequence_length: PositiveInt = 200
    """Newest watches of a user that training draws from, targets and history together."""
    hide_share_min: Share = 0.2
    """Smallest share of a user's videos that one example hides."""
    hide_share_max: Share = 0.6
    """Largest share; the share of an example is uniform between the two."""
    weak_weight: NonNegativeFloat = 0.3
    """Weight of a hidden plain play (neither positive, skipped nor disliked); a positive weighs 1."""
    action_weights: ActionWeights = ActionWeights()
    """How much more a liked, followed, shared or commented target weighs."""
    negative_weight: NonNegativeFloat = 0.0
    """Above 0, a part of what a user disliked or always skipped is hidden too, and each target also competes
    with that, with this weight; needs the objective ``set_to_set``."""
    num_negatives: NonNegativeInt = 1024
    """Sampled videos per step, shared by the batch; from the size of the vocabulary on, all of it; 0 leaves
    those of the batch alone."""
    popularity_share: Share = 0.5
    """Share of the negatives drawn by watch count; the rest is drawn uniformly."""
    in_batch: bool = False
    """The targets of the batch are negatives too."""
    use_log_q: bool = True
    """Correct the logits of sampled negatives by their log expected count; only to show what happens
    without."""
    label_smoothing: BelowOne = 0.0
    """Share of each label that is spread over the catalogue."""
    loss: Loss = "softmax"
    """Targets compete with the negatives, or each is a yes-no question of its own."""
    focal_gamma: NonNegativeFloat = 0.0
    """Above 0, targets that are easy already weigh less: focal loss."""
    focal_alpha: Share = 0.5
    """Weight of the target in ``sigmoid_focal``; its negatives together weigh the rest."""
    hard_beta: NonNegativeFloat = 0.0
    """Above 0, negatives weigh exp(beta * score): the hard ones count more."""
    item_dropout: BelowOne = 0.0
    """Share of the history's watches that a training step forgets."""
    ema_decay: BelowOne = 0.0
    """Above 0, a moving average of the weights is judged and exported instead of the last ones."""
    precision: Precision = "float32"
    """Type of the forward pass; bfloat16 pays on GPUs."""

    activation_half_life: PositiveFloat = 2.0
    """Epochs after which an activation counts half in the record of which interests training activated."""

    @model_validator(mode="after")
    def _shares_are_ordered(self) -> "TrainConfig":
        if self.hide_share_min > self.hide_share_max:
            raise ValueError(
                f"hide_share_min={self.hide_share_min} lies above hide_share_max={self.hide_share_max}"
            )
        return self

    @model_validator(mode="after")
    def _negatives_come_from_somewhere(self) -> "TrainConfig":
        if not self.num_negatives and not self.in_batch:
            raise ValueError("num_negatives=0 needs in_batch=true")
        return self

    @model_validator(mode="after")
    def _feedback_is_hidden(self) -> "TrainConfig":
        if self.negative_weight and self.objective != "set_to_set":
            raise ValueError(f"negative_weight needs objective=set_to_set, not {self.objective}")
        return self

    @model_validator(mode="after")
    def _only_the_softmax_is_reshaped(self) -> "TrainConfig":
        if self.loss != "softmax" and (self.label_smoothing or self.hard_beta):
            raise ValueError(f"label_smoothing and hard_beta need loss=softmax, not {self.loss}")
        return self


class InterestConfig(TrainConfig):
    """What every network with interest vectors is told."""

    num_interests: PositiveInt = 4
    """Interest vectors per user (K)."""
    dim: PositiveInt = 64
    """Width of interest and video vectors (D)."""
    history_length: PositiveInt = 100
    """Newest visible watches that are read (L)."""
    dropout: BelowOne = 0.2
    """Share of the activations that training drops."""
    temperature: PositiveFloat = 0.07
    """Divides the scores in the softmax; smaller is sharper."""
    learn_temperature: bool = False
    """Train the temperature from that start on."""
    assignment: Assignment = "hard"
    """Which interest a target trains, see ``training/assignment.py``."""
    assignment_power: PositiveFloat = 10.0
    """Sharpness of the assignment ``label_aware``, on cosines."""
    presence_weight: NonNegativeFloat = 0.0
    """Weight of predicting which interests get a target; needs the assignment ``one_to_one``."""
    actions: ActionNames = ALL_ACTIONS
    """What the network knows of how a watch of the history ended: ``all``, ``none``, or some with commas
    between them: long_view, like, follow, share, comment, dislike, quick_skip."""
    trend: TrendConfig = TrendConfig()
    """How much what is watched more than usual now gains, as one more coordinate of the exported vectors."""

    @property
    def is_causal(self) -> bool:
        """Watches look at earlier ones only, so that one pass trains every prefix."""
        return self.objective == "next_item"

    @model_validator(mode="after")
    def _presence_needs_a_matching(self) -> "InterestConfig":
        if self.presence_weight and self.assignment != "one_to_one":
            raise ValueError(f"presence_weight needs assignment=one_to_one, not {self.assignment}")
        return self


class EncoderConfig(InterestConfig):
    """What the transformer over the history adds."""

    num_layers: NonNegativeInt = 1
    """Transformer layers over the history."""
    num_heads: PositiveInt = 2
    """Attention heads per layer."""
    history_tables: HistoryTables = "shared"
    """One vector per video, or in the history another one, by a small difference, where it was not viewed
    long."""
    num_recent: NonNegativeInt = 0
    """Above 0, only so many newest watches stay single; older ones are averaged in blocks before the
    layers."""
    block_length: PositiveInt = 8
    """Watches of one block of the older history."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "EncoderConfig":
        if self.dim % self.num_heads:
            raise ValueError(f"dim={self.dim} is no multiple of num_heads={self.num_heads}")
        return self

    @model_validator(mode="after")
    def _blocks_fill_the_older_history(self) -> "EncoderConfig":
        older = self.history_length - self.num_recent
        if self.num_recent and (older < 0 or older % self.block_length):
            raise ValueError(
                f"history_length - num_recent = {older} is no multiple of block_length={self.block_length}"
            )
        if self.num_recent and self.is_causal:
            raise ValueError("num_recent does not go with objective=next_item: blocks mix prefixes")
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
        allowed = ", ".join(sorted(config_class.model_fields))
        raise BadInputError(
            f"cannot use {list(overrides)}: {problems_of(error)}. Allowed keys: {allowed}"
        ) from error
