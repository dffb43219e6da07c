"""Action codes as bits, for layers that learn a weight per action; some actions can be hidden from them."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import torch
from jaxtyping import Float
from pydantic import BeforeValidator
from torch import Tensor

from features.positives import NUM_ACTION_BITS, Action

ActionName = Literal["long_view", "like", "follow", "share", "comment", "dislike", "quick_skip"]
BIT_OF: Final[dict[ActionName, Action]] = {
    "long_view": Action.POSITIVE,
    "like": Action.LIKED,
    "follow": Action.FOLLOWED,
    "share": Action.SHARED,
    "comment": Action.COMMENTED,
    "dislike": Action.DISLIKED,
    "quick_skip": Action.QUICK_SKIP,
}
ALL_ACTIONS: Final[tuple[ActionName, ...]] = tuple(BIT_OF)


def _names(value: object) -> object:
    """``all``, ``none`` (which overrides turn into ``None``) or names with commas between them."""
    if value in (None, "none", ""):
        return ()
    if value == "all":
        return ALL_ACTIONS
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


ActionNames = Annotated[tuple[ActionName, ...], BeforeValidator(_names)]
"""Field of a configuration: a list of actions."""


def action_bits(seen: Sequence[ActionName] = ALL_ACTIONS) -> Float[Tensor, "C bits"]:
    """Row c holds the bits of action code c, the lowest first; actions that are not ``seen`` are 0."""
    codes = torch.arange(2**NUM_ACTION_BITS).unsqueeze(1)
    bits = (codes >> torch.arange(NUM_ACTION_BITS)) & 1
    mask = sum(BIT_OF[name].value for name in seen)
    return (bits * ((mask >> torch.arange(NUM_ACTION_BITS)) & 1)).float()
