"""Whose a row is."""

import duckdb
import pytest

from features.forget.users import Users

SEVEN = Users(frozenset({7}), frozenset({"ann (x)"}))


@pytest.mark.parametrize(
    ("user_id", "raw", "is_own"),
    [
        ("7", '{"user_id": 7, "video_id": 9}', True),
        ("7.0", "pandas writes integers beside nulls so", True),
        ("8", '{"user_id": 8, "video_id": 7}', False),
        ("77", '{"user_id": 77}', False),
        (None, '{"user_id": 7, "video_id": 9, "event_', True),
        (None, '{"user_id": 8, "video_id": 7, "event_', False),
        (None, '{"video_id": 7, "event_', True),
        (None, '{"video_id": 17, "event_time": "07:00"', False),
        (None, "ann (x),3,too,many", True),
        (None, "joann (x),3,too,many", False),
        ("ann (x)", '{"user_id": "ann (x)"}', True),
    ],
)
def test_the_column_decides_then_what_is_left_of_the_row(user_id: str | None, raw: str, is_own: bool) -> None:
    query = f"SELECT {SEVEN.own_text_sql()} FROM (SELECT $user_id::VARCHAR AS user_id, $raw AS raw)"
    assert duckdb.execute(query, {"user_id": user_id, "raw": raw}).fetchall() == [(is_own,)]


def test_nobody_owns_nothing() -> None:
    assert Users(frozenset(), frozenset({"ann"})).own_sql() == "false"


def test_a_text_is_found_as_json_writes_it() -> None:
    assert Users(frozenset(), frozenset({"Zoë"})).are_named_in('{"user_id": "Zo\\u00eb"')
