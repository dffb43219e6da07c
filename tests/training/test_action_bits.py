"""Action codes as bits."""

from features.positives import NUM_ACTION_BITS, Action
from training.action_bits import action_bits


def test_each_code_has_its_bits() -> None:
    table = action_bits()
    assert table.shape == (2**NUM_ACTION_BITS, NUM_ACTION_BITS)
    code = int(Action.POSITIVE | Action.DISLIKED)
    place = [i for i, bit in enumerate(table[code].tolist()) if bit]
    assert sum(2**i for i in place) == code
    assert len(place) == 2
