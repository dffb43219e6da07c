"""Action codes as bits."""

import pytest
from pydantic import ValidationError

from features.positives import NUM_ACTION_BITS, Action
from training.action_bits import ALL_ACTIONS, action_bits
from training.config import InterestConfig, parse_overrides


def test_each_code_has_its_bits() -> None:
    table = action_bits()
    assert table.shape == (2**NUM_ACTION_BITS, NUM_ACTION_BITS)
    code = int(Action.POSITIVE | Action.DISLIKED)
    place = [i for i, bit in enumerate(table[code].tolist()) if bit]
    assert sum(2**i for i in place) == code
    assert len(place) == 2


def test_actions_that_are_not_seen_have_no_bit() -> None:
    code = int(Action.POSITIVE | Action.LIKED | Action.QUICK_SKIP)
    assert action_bits(("long_view", "quick_skip"))[code].tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert not action_bits(()).any()


def test_actions_are_named_one_by_one_or_all_or_none() -> None:
    def parsed(text: str) -> tuple[str, ...]:
        return parse_overrides(InterestConfig, [f"actions={text}"]).actions

    assert parsed("all") == InterestConfig().actions == ALL_ACTIONS
    assert parsed("none") == ()
    assert parsed("long_view, dislike") == ("long_view", "dislike")
    stored = InterestConfig(actions=("like",)).model_dump(mode="json")  # as a manifest holds it
    assert InterestConfig.model_validate(stored).actions == ("like",)
    with pytest.raises(ValidationError, match="long_view"):
        InterestConfig.model_validate({"actions": "applause"})
