"""Overrides of the command line reach the right field or are refused with what is allowed."""

import pytest

from features.errors import BadInputError
from training.config import TrainConfig, parse_overrides
from training.models.popularity import PopularityConfig


def test_overrides_are_typed_and_the_rest_keeps_its_default() -> None:
    config = parse_overrides(
        TrainConfig, ["epochs=3", "learning_rate=1e-2", "refit_epochs=0", "rule.min_seconds=7"]
    )
    assert (config.epochs, config.learning_rate, config.refit_epochs, config.rule.min_seconds) == (
        3,
        0.01,
        False,
        7.0,
    )
    assert config.batch_size == TrainConfig().batch_size


def test_none_unsets_an_optional_value() -> None:
    assert parse_overrides(PopularityConfig, ["window_days=none"]).window_days is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "epoch: Extra inputs are not permitted.*Allowed keys: .*epochs"),
        ("epochs", "'epochs' is not of the form key=value"),
        ("epochs=many", "epochs: Input should be a valid integer"),
        ("epochs=0", "epochs: Input should be greater than 0"),
        ("hide_share_min=0.9", "hide_share_min=0.9 lies above hide_share_max"),
        ("rule.min_second=7", "rule.min_second: Extra inputs"),
        ("num_negatives=0", "num_negatives=0 needs in_batch=true"),
        ("loss=hinge", "loss: Input should be 'softmax' or 'sigmoid_focal'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_allowed_keys(override: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_overrides(TrainConfig, [override])


def test_only_the_softmax_is_smoothed() -> None:
    with pytest.raises(BadInputError, match="label_smoothing and hard_beta need loss=softmax"):
        parse_overrides(TrainConfig, ["loss=sigmoid_focal", "label_smoothing=0.1"])


def test_a_window_and_a_half_life_exclude_each_other() -> None:
    with pytest.raises(BadInputError, match="exclude each other"):
        parse_overrides(PopularityConfig, ["half_life_days=3"])
