"""How the channels of a release become one list: weights, fusion, depth. It travels with the release.

``facet union`` writes this file, ``facet publish`` puts it into the registry, and recall and ``recall-batch``
read it from there, so that what was tuned is what is served.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from features.errors import BadInputError, problems_of

Fusion = Literal["arithmetic", "geometric", "reciprocal_rank"]
INTERESTS: Final = "interests"
"""Channel of the multi-interest bundle: every release has one."""
MAX_DEPTH: Final = 16_384
"""Most hits that Milvus finds in one search; a deeper release would be refused with every request."""
POPULAR: Final = "popular"
"""Channel of the ranking bundle: without a weight it only answers and fills where the others cannot."""


class Arrangement(BaseModel):
    """Variety and limits of an answer; nothing set leaves the list as the channels made it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    category_diversity: NonNegativeFloat = 0.0
    """Worth of each chosen video of another category (first tag), where the best score is 1."""
    vector_diversity: float = Field(default=0.0, ge=0, lt=1)
    """Weight of being unlike what was chosen, against the score."""
    max_per_uploader: PositiveInt | None = None
    """Videos of one uploader in an answer."""
    max_per_tag: PositiveInt | None = None
    """Videos with one tag in an answer."""

    @property
    def is_set(self) -> bool:
        """Whether it changes any list."""
        return self != AS_IT_IS


AS_IT_IS = Arrangement()
SHOWN_DAYS: Final = 14
"""Days for which the feature store remembers what was shown."""


class ImpressionCap(BaseModel):
    """How often a video is shown to a user who does not watch it, see ``features/impressions.py``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    max_shown: PositiveInt | None = None
    """Times, then the video is left out; unset: no limit, and nothing is counted online."""
    shown_days: PositiveInt = Field(default=7, le=SHOWN_DAYS)
    """UTC days that count, the newest included."""
    shown_ranks: PositiveInt = 50
    """Places of an answer that count as shown; what stands lower a ranker behind recall seldom shows."""


NO_CAP: Final = ImpressionCap()


class Penalty(BaseModel):
    """What a dislike takes from videos like the disliked one, see ``features/penalty.py``.

    Of a candidate's worth, where the best of a list has 1 and the last 0, at the moment of the dislike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    uploader_penalty: NonNegativeFloat = 0.5
    """Of videos of the same uploader."""
    tag_penalty: NonNegativeFloat = 0.1
    """Of videos with a tag of the disliked one."""
    penalty_half_life_days: PositiveFloat = 7.0
    """Days after which a dislike counts half."""

    @property
    def is_set(self) -> bool:
        """Whether a dislike changes any list."""
        return self.uploader_penalty > 0 or self.tag_penalty > 0


class MergeConfig(BaseModel):
    """The merge of one release."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    weights: dict[str, NonNegativeFloat] = {}
    """Of each channel; 0 is not asked. Empty: all alike, but ``popular``, which only fills."""
    fusion: Fusion = "reciprocal_rank"
    """How lists of different scores are added, see ``features/merge.py``."""
    depth: PositiveInt = Field(default=500, le=MAX_DEPTH)
    """Places of a channel's list that are fused; what lies deeper counts as not found."""
    arrange: Arrangement = AS_IT_IS
    """Variety and limits of the fused list, see ``features/arrange.py``."""
    penalty: Penalty = Penalty()
    """What dislikes do to other videos."""
    cap: ImpressionCap = NO_CAP
    """What was shown often enough."""
    min_share: float | None = Field(default=None, ge=0, le=0.5)
    """Set: the interests of a user share the places of their channel by weight, and none gets less than
    this share. Unset: scores alone decide. See ``share_hits`` in ``features/merge.py``."""

    @model_validator(mode="after")
    def _somebody_is_asked(self) -> "MergeConfig":
        if self.weights and not sum(self.weights.values()):
            raise ValueError("all weights are 0; one channel at least needs more")
        return self

    def asked(self, channels: Iterable[str]) -> dict[str, float]:
        """Those of ``channels`` that are fused, with their weights; ``interests`` first, then by name."""
        ordered = sorted(channels, key=lambda name: (name != INTERESTS, name))
        weights = self.weights or {name: 1.0 for name in ordered if name != POPULAR}
        return {name: weights[name] for name in ordered if weights.get(name)}

    def depth_of(self, channels: Iterable[str], top_n: int, *, is_penalised: bool = False) -> int:
        """Places that each of ``channels`` is asked for, so that ``top_n`` can be made of them.

        Args:
            is_penalised: whether dislikes may move what is found.
        """
        is_deep = len(self.asked(channels)) > 1 or self.arrange.is_set or is_penalised
        return max(self.depth, top_n) if is_deep else top_n

    def require_fit(self, channels: Iterable[str]) -> None:
        """Raises ``BadInputError`` unless the weights name these channels; ``popular`` needs none."""
        if not self.weights:
            return
        there = set(channels)
        lost, silent = sorted(self.weights.keys() - there), sorted(there - self.weights.keys() - {POPULAR})
        if lost or silent:
            complaints = [f"no bundle fills {', '.join(lost)}"] * bool(lost)
            complaints += [f"{', '.join(silent)} has no weight (0 leaves it out)"] * bool(silent)
            raise BadInputError(
                f"the merge weights do not fit the channels {', '.join(sorted(there))}: "
                + "; ".join(complaints)
            )

    def limited_to(self, channels: Iterable[str]) -> "MergeConfig":
        """The same without the weights of channels that are not there; the others share what they had."""
        there = set(channels)
        kept = {name: weight for name, weight in self.weights.items() if name in there}
        return self.model_copy(update={"weights": kept if sum(kept.values()) else {}})


DEFAULT_MERGE: Final = MergeConfig()
_PARTS: Final = {
    "arrange": Arrangement.model_fields,
    "penalty": Penalty.model_fields,
    "cap": ImpressionCap.model_fields,
}
"""Parts of the merge whose settings are written without the name of the part on the command line."""


def read_merge_config(path: Path) -> MergeConfig:
    """What ``facet union --out`` wrote.

    Raises:
        BadInputError: the file is no merge configuration.
    """
    try:
        return MergeConfig.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise BadInputError(
            f"{path} is no merge configuration as `facet union --out` writes it: {error}"
        ) from error


def parse_merge(options: Sequence[str], base: MergeConfig = DEFAULT_MERGE) -> MergeConfig:
    """``weights=interests:.6,ease:.4``, ``fusion=geometric``, ``max_per_uploader=3`` and so on.

    Args:
        base: what holds where the options say nothing.

    Raises:
        BadInputError: an unknown key or an unusable value.
    """
    values: dict[str, Any] = {}
    for option in options:
        key, _, text = option.partition("=")
        values[key.strip()] = text.strip()
    if "weights" in values:
        pairs = [part.partition(":") for part in values["weights"].split(",")]
        values["weights"] = {name.strip(): weight.strip() for name, _, weight in pairs}
    for part, fields in _PARTS.items():
        if own := {name: values.pop(name) for name in fields if name in values}:
            values[part] = getattr(base, part).model_dump() | own
    try:
        return MergeConfig.model_validate(base.model_dump() | values)
    except ValidationError as error:
        raise BadInputError(
            f"cannot merge by {list(options)}: {problems_of(error)}. Write weights=NAME:WEIGHT,NAME:WEIGHT, "
            "fusion=arithmetic|geometric|reciprocal_rank, depth=PLACES, "
            f"min_share=, {'=, '.join(name for fields in _PARTS.values() for name in fields)}="
        ) from error
