"""Weights by channel: who is asked, how much each counts, and what does not fit."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.merge_config import MergeConfig, parse_merge, read_merge_config


def test_without_weights_all_channels_count_alike_and_popular_only_fills() -> None:
    assert MergeConfig().asked(["popular", "item_cf", "interests"]) == {"interests": 1.0, "item_cf": 1.0}


def test_interests_come_first_and_weight_0_is_not_asked() -> None:
    merge = MergeConfig(weights={"ease": 0.4, "popular": 0.1, "interests": 0.5, "swing": 0.0})
    asked = merge.asked(merge.weights)
    assert list(asked.items()) == [("interests", 0.5), ("ease", 0.4), ("popular", 0.1)]


def test_one_channel_is_asked_for_no_more_than_is_wanted() -> None:
    merge = MergeConfig(depth=300)
    assert [merge.depth_of(["interests", "popular"], 50), merge.depth_of(["interests", "ease"], 50)] == [
        50,
        300,
    ]
    assert merge.depth_of(["interests", "ease"], 400) == 400


@pytest.mark.parametrize(
    ("channels", "complaint"),
    [
        (["interests", "popular"], "no bundle fills ease"),
        (["interests", "ease", "swing"], r"swing has no weight \(0 leaves it out\)"),
    ],
)
def test_weights_that_do_not_fit_the_channels_are_refused(channels: list[str], complaint: str) -> None:
    merge = MergeConfig(weights={"interests": 0.6, "ease": 0.4})
    merge.require_fit(["interests", "ease", "popular"])
    with pytest.raises(BadInputError, match=complaint):
        merge.require_fit(channels)


def test_a_channel_that_is_not_there_leaves_its_share_to_the_others() -> None:
    merge = MergeConfig(weights={"interests": 0.6, "ease": 0.4}, fusion="geometric")
    assert merge.limited_to(["interests", "popular"]) == MergeConfig(
        weights={"interests": 0.6}, fusion="geometric"
    )
    assert merge.limited_to(["swing"]).weights == {}


@pytest.mark.parametrize(
    "option",
    ["weights=interests:inf", "category_diversity=inf", "tag_penalty=nan", "min_share=nan", "depth=16385"],
)
def test_numbers_that_no_list_can_be_made_with_are_refused(option: str) -> None:
    with pytest.raises(BadInputError, match=option.partition("=")[0]):
        parse_merge([option])


def test_options_of_the_command_line_say_the_same_as_the_file(tmp_path: Path) -> None:
    merge = parse_merge(["weights=interests:.6, ease:.4", "fusion=arithmetic", "depth=300"])
    assert merge == MergeConfig(weights={"interests": 0.6, "ease": 0.4}, fusion="arithmetic", depth=300)
    file = tmp_path / "union.json"
    file.write_text(merge.model_dump_json())
    assert read_merge_config(file) == merge


def test_settings_of_the_parts_are_written_without_their_names() -> None:
    merge = parse_merge(["min_share=.1", "max_per_tag=3", "tag_penalty=0", "max_shown=4", "shown_days=3"])
    assert (merge.min_share, merge.arrange.max_per_tag) == (0.1, 3)
    assert (merge.penalty.tag_penalty, merge.penalty.uploader_penalty) == (0.0, 0.5)
    assert (merge.cap.max_shown, merge.cap.shown_days, merge.cap.shown_ranks) == (4, 3, 50)
    assert MergeConfig().cap.max_shown is None


def test_penalties_need_a_deep_list() -> None:
    merge = MergeConfig(depth=300)
    assert merge.depth_of(["interests"], 50, is_penalised=True) == 300


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["weights=ease"], "weights.ease"),
        (["weights=ease:-1"], "greater than or equal to 0"),
        (["weights=ease:0"], "all weights are 0"),
        (["fusion=best"], "fusion"),
        (["deep=3"], "deep"),
        (["min_share=.6"], "min_share"),
        (["shown_days=15"], "cap.shown_days"),
    ],
)
def test_an_unusable_option_says_what_can_be_written(options: list[str], complaint: str) -> None:
    with pytest.raises(BadInputError, match=rf"{complaint}[\s\S]*Write weights=NAME:WEIGHT"):
        parse_merge(options)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_text('{"kind": "interests"}')
    with pytest.raises(BadInputError, match="is no merge configuration"):
        read_merge_config(file)
