"""Every conversion that a map may ask for; what cannot be converted stays as it is."""

from pathlib import Path

import pytest

from tests.features.sources.landed import landed_rows
from tests.features.sources.own_log import NOON_MS, USERS_MAP, import_one, known

TIMES = {
    '{ column = "t", unit = "s" }': ("1772452800.25", "2026-03-02T12:00:00.250000Z"),
    '{ column = "t", unit = "ms" }': ("1772452800250", "2026-03-02T12:00:00.250000Z"),
    '{ column = "t", unit = "us" }': ("1772452800250001", "2026-03-02T12:00:00.250001Z"),
    '{ column = "t", unit = "ns" }': ("1772452800250001999", "2026-03-02T12:00:00.250001Z"),
    '"t"': ("2026-03-02T14:00:00+02:00", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", unit = "iso" }': ("2026-03-02 12:00:00Z", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", timezone = "Asia/Shanghai" }': ("2026-03-02 20:00:00", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", unit = "iso", timezone = "Asia/Shanghai" }': (
        "2026-03-03",  # a day is no time with offset -03: it begins at 16:00 UTC of the day before
        "2026-03-02T16:00:00.000000Z",
    ),
    '{ column = "t", format = "%d.%m.%Y %H:%M", timezone = "UTC" }': (
        "02.03.2026 12:00",
        "2026-03-02T12:00:00.000000Z",
    ),
}


@pytest.mark.parametrize(("rule", "value", "landed"), [(rule, *pair) for rule, pair in TIMES.items()])
def test_a_time_in_any_unit_lands_in_utc(tmp_path: Path, rule: str, value: str, landed: str) -> None:
    text = f'source = "a"\n[watches.columns]\nuser_id = "u"\nvideo_id = "v"\nevent_time = {rule}'
    settings, report = import_one(tmp_path, f"u,v,t\n1,2,{value}\n", text)
    [row] = landed_rows(settings, "watches")
    assert row["event_time"] == landed
    assert report.days == {"watches": {"2026-03-02": 1}}


@pytest.mark.parametrize(
    ("column", "rule", "value", "landed"),
    [
        ("watch_seconds", '"x"', "2.5", "2.5"),
        ("watch_seconds", '{ column = "x", unit = "min" }', "1.5", "90.0"),
        ("watch_seconds", '{ column = "x", unit = "us" }', "2500000", "2.5"),
        ("watch_seconds", '{ column = "x", unit = "ms", times = "d" }', "1.5", "6.0"),  # of d = 4000 ms
        ("watch_seconds", '{ column = "x", unit = "ms" }', "much", "much"),
        ("watch_seconds", '{ column = "x", default = 0 }', "", "0"),
        ("long_watch", '{ column = "x", at_least = 4 }', "4.0", "true"),
        ("long_watch", '{ column = "x", at_least = 4 }', "3.5", "false"),
        ("long_watch", '{ column = "x", at_least = 4 }', "good", "good"),
        ("long_watch", '{ column = "x", at_least = 4 }', "nan", "nan"),
        ("long_watch", '{ column = "x", at_least = 4 }', "", None),
        ("liked", '"x"', "1", "1"),
        ("liked", '{ column = "x", one_of = "y" }', "y", "true"),
        ("liked", '{ column = "x", one_of = "y" }', "", None),
        ("liked", "{ constant = true }", "", "true"),
        ("device", '"x"', "it's", "it's"),
        ("device", '"x"', "UNKNOWN", None),
        ("event_id", '"x"', "e-1", "e-1"),
        ("interest", "{ constant = 3 }", "", "3"),
    ],
)
def test_a_value_is_converted_where_it_can_be(
    tmp_path: Path, column: str, rule: str, value: str, landed: str | None
) -> None:
    text = f"""
        source = "a"
        [watches]
        unknown = ["UNKNOWN"]
        [watches.columns]
        user_id = "u"
        video_id = "v"
        event_time = {{ column = "t", unit = "ms" }}
        {column} = {rule}
    """
    settings, _ = import_one(tmp_path, f"u,v,t,d,x\n1,2,{NOON_MS},4000,{value}\n", text)
    [row] = landed_rows(settings, "watches")
    assert row[column] == landed


def test_a_profile_names_the_columns_that_are_known(tmp_path: Path) -> None:
    settings, report = import_one(
        tmp_path, "id,gender,is_new,is_pro,since\n1,F,1.0,,2026-01-01\n2,,,,\n", USERS_MAP
    )
    assert report.days == {"users": {"2026-03-05": 2}}
    assert known(landed_rows(settings, "users")) == [
        {
            "user_id": "1",
            "registered_at": "2026-01-01T00:00:00.000000Z",
            "profile": '["gender=F","is_new=1"]',
        },
        {"user_id": "2", "profile": "[]"},
    ]
