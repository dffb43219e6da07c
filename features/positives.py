"""What counts as a positive, and the action code of one watch.

The source's own ``long_watch`` decides where it is known; elsewhere the rule does. The rule is stored
in every bundle, because histories and targets are only comparable under the same rule.
"""

from enum import IntFlag

from pydantic import BaseModel, ConfigDict, Field

from features.schema import (
    COMMENTED,
    DISLIKED,
    DURATION_SECONDS,
    FOLLOWED,
    LIKED,
    LONG_WATCH,
    SHARED,
    WATCH_SECONDS,
)


class Action(IntFlag):
    """What is known to have happened during a watch; bits, so that they combine. Unknown sets no bit."""

    POSITIVE = 1
    LIKED = 2
    FOLLOWED = 4
    SHARED = 8
    COMMENTED = 16
    DISLIKED = 32
    QUICK_SKIP = 64


NUM_ACTION_BITS = len(Action)


class PositiveRule(BaseModel):
    """When a watch without ``long_watch`` is a positive, and when any watch is a quick skip."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    min_completion: float = Field(default=0.9, gt=0, le=1)
    """Share of a short video's duration that must be watched."""
    min_seconds: float = Field(default=18.0, gt=0)
    """Seconds that suffice for a long video."""
    quick_skip_seconds: float = Field(default=3.0, ge=0)
    """A play that ended sooner is a quick skip, unless it is a positive."""

    def positive_sql(self) -> str:
        """SQL boolean, never null, over the columns of a watch joined with ``duration_seconds``."""
        enough = f"least({self.min_completion} * {DURATION_SECONDS}, {self.min_seconds})"
        return f"coalesce({LONG_WATCH}, {WATCH_SECONDS} >= coalesce({enough}, {self.min_seconds}), false)"

    def action_sql(self) -> str:
        """SQL integer: the ``Action`` bits of a watch joined with ``duration_seconds``."""
        positive = self.positive_sql()
        bits = {
            Action.POSITIVE: positive,
            Action.LIKED: LIKED,
            Action.FOLLOWED: FOLLOWED,
            Action.SHARED: SHARED,
            Action.COMMENTED: COMMENTED,
            Action.DISLIKED: DISLIKED,
            Action.QUICK_SKIP: f"{WATCH_SECONDS} < {self.quick_skip_seconds} AND NOT {positive}",
        }
        return " + ".join(f"CASE WHEN {known} THEN {bit.value} ELSE 0 END" for bit, known in bits.items())
