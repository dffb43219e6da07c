"""A column map says what it means or is refused with the key, and what is allowed there."""

import re
from pathlib import Path

import pytest

from features.errors import BadInputError
from features.sources.column_map import ColumnMap, load_column_map, parse_column_map

SMALLEST = """
source = "app"
[watches.columns]
user_id = "uid"
video_id = "clip"
event_time = { column = "ts", unit = "ms" }
"""


def test_a_bare_name_is_a_column_and_the_rest_has_defaults() -> None:
    found = parse_column_map(SMALLEST, "map.toml")
    rules = found.watches
    assert rules is not None
    assert rules.columns["user_id"].column == "uid"
    assert (rules.columns["event_time"].column, rules.columns["event_time"].unit) == ("ts", "ms")
    assert (rules.delimiter, rules.encoding, rules.files, found.text_kinds) == (",", "utf-8", None, ())


@pytest.mark.parametrize(
    ("written", "kinds"),
    [
        ("true", ("user", "video", "uploader", "tag")),
        ("false", ()),
        ('["video", "tag"]', ("video", "tag")),
        ("[]", ()),
    ],
)
def test_text_ids_are_all_kinds_or_those_that_are_named(written: str, kinds: tuple[str, ...]) -> None:
    assert parse_column_map(f"text_ids = {written}\n{SMALLEST}", "map.toml").text_kinds == kinds


def test_a_delimiter_of_several_characters_takes_quotes_as_they_are() -> None:
    rules = _with('delimiter = "::"').watches
    assert rules is not None
    assert not rules.has_quotes


def _with(line: str) -> ColumnMap:
    return parse_column_map(
        SMALLEST.replace("[watches.columns]", f"[watches]\n{line}\n[watches.columns]"), "map.toml"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'user_id = "uid"',
            'user = "uid"',
            r"watches\.columns\.user: Facet's watches have no such column; they have",
        ),
        ('user_id = "uid"\n', "", r"watches\.columns\.user_id is missing; every row needs one"),
        ('"ms"', '"hours"', r"watches\.columns\.event_time\.unit: 'hours' is none of s, ms, us, ns, iso"),
        ('unit = "ms"', 'units = "ms"', r"watches\.columns\.event_time\.units: unknown key"),
        (
            'unit = "ms"',
            "at_least = 3",
            r"event_time\.at_least: has no meaning here; .* takes format, timezone, unit",
        ),
        (
            'unit = "ms"',
            'timezone = "Mars/Olympus"',
            r"event_time: timezone 'Mars/Olympus' is none that is known",
        ),
        ('unit = "ms"', 'unit = "ms", format = "%Y"', r"event_time: say unit or format, not both"),
        (
            'user_id = "uid"',
            "user_id = {}",
            r"watches\.columns\.user_id: say exactly one of column, constant",
        ),
        ('user_id = "uid"', 'user_id = { column = "a", constant = 1 }', r"user_id: say exactly one of"),
        ('source = "app"', 'source = "My App"', r"source: String should match pattern"),
        ('source = "app"\n', "", r"source: Field required"),
        (
            'source = "app"',
            'source = "app"\ntext_ids = ["song"]',
            r"text_ids.*: Input should be 'user', 'video'",
        ),
        (
            "[watches.columns]",
            '[watches]\nencoding = "klingon"\n[watches.columns]',
            r"watches: encoding 'klingon'",
        ),
        (
            "[watches.columns]",
            "[watches]\nsnapshot_day = 2026-03-02\n[watches.columns]",
            r"watches\.snapshot_day:",
        ),
        ('source = "app"', "source = ", r"is not TOML"),
        ("watches", "plays", r"plays: unknown key"),
        ('unit = "ms" }', 'unit = "ms" }\nliked = { column = "x", at_least = inf }', r"at_least: .*finite"),
    ],
)
def test_a_mistake_is_named_with_its_key(old: str, new: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        parse_column_map(SMALLEST.replace(old, new, 1), "map.toml")


def test_a_map_without_tables_is_refused() -> None:
    with pytest.raises(BadInputError, match="none of the tables watches, videos, users"):
        parse_column_map('source = "app"', "map.toml")


def test_all_mistakes_are_named_at_once() -> None:
    text = SMALLEST.replace('user_id = "uid"\n', "").replace('"ms"', '"hours"') + 'mood = "m"\n'
    with pytest.raises(BadInputError) as caught:
        parse_column_map(text, "map.toml")
    assert str(caught.value).count("\n  - ") == 3
    assert str(caught.value).startswith("map.toml is no column map:")


def test_a_log_without_uploaders_is_told_what_to_write() -> None:
    with pytest.raises(
        BadInputError, match=r"uploader_id is missing; every row needs one \(uploader_id = \{ constant = 0 \}"
    ):
        parse_column_map('source = "app"\n[videos.columns]\nvideo_id = "v"\n', "map.toml")


def test_a_map_of_several_tables_must_say_which_files_are_whose() -> None:
    text = SMALLEST + '[users]\nfiles = "people.csv"\n[users.columns]\nuser_id = "id"\n'
    with pytest.raises(BadInputError, match=r"watches\.files is missing"):
        parse_column_map(text, "map.toml")


def test_the_map_in_the_docs_is_one() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    section = docs.partition("## Importing your own logs")[2]
    text = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[0]
    rules = parse_column_map(text, "docs/data.md")
    assert rules.source == "myapp"
    assert rules.videos is not None
    assert rules.videos.join[0].newest == "date"


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.toml cannot be read"):
        load_column_map(tmp_path / "nowhere.toml")
