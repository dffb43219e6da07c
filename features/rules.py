"""From text to types: the rules that a landing row must meet, in SQL, so that each bad row gets its reason.

The first rule that a row breaks goes into the quarantine with it. Rules that need other rows (unknown
videos, row counts, freshness) are not here: ``features/validation.py`` checks them per partition.
"""

from datetime import datetime
from typing import Final

import pyarrow as pa

from features.limits import EARLIEST_MOMENT, MAX_TEXT, MAX_WATCH_SECONDS
from features.schema import (
    ARM,
    CHANNEL,
    DEVICE,
    DURATION_SECONDS,
    EVENT_TIME,
    EXPOSURES,
    INTEREST,
    RANK,
    RELEASE,
    REQUEST_ID,
    RULE,
    SCENE,
    SCHEMAS,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.text_rows import PROBLEM

_INTEGER: Final = r"^-?[0-9]+(\.0+)?$"  # pandas writes integers beside nulls as 12.0
_OFFSET: Final = (
    r"[0-9]{2}:[0-9]{2}(:[0-9.]+)? ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"  # the -02 of a bare date is none
)
_TRUE: Final = "('true', '1', '1.0', 't')"
_FALSE: Final = "('false', '0', '0.0', 'f')"

_NON_NEGATIVE: Final[dict[str, tuple[str, ...]]] = {
    WATCHES: (USER_ID, VIDEO_ID, WATCH_SECONDS, INTEREST),
    EXPOSURES: (USER_ID, VIDEO_ID, RANK, INTEREST),
    VIDEOS: (VIDEO_ID, UPLOADER_ID, DURATION_SECONDS),
    USERS: (USER_ID,),
}
_SHORT_TEXT: Final[dict[str, tuple[str, ...]]] = {
    WATCHES: (SCENE, DEVICE, REQUEST_ID, CHANNEL),
    EXPOSURES: (REQUEST_ID, CHANNEL, RELEASE, ARM),
}


def judged_sql(table: str, landed_before: datetime, source: str) -> str:
    """Query of ``source`` with ``rule``, null for a good row, and every column of ``table`` in its type.

    Columns that are none of the table's stay as they are; a column is null where it has no such value. Nearly
    all rows are plain: every value is written as a machine writes it, and meets the rules. That is seen at a
    glance, and only the others are asked for each rule in turn.

    Args:
        landed_before: end of the landing day; a watch cannot have happened after its file arrived.
        source: a relation of text columns and ``problem``, as ``text_rows`` gives them.
    """
    fields = list(SCHEMAS[table])
    casts = ", ".join(f"{_plain_cast(field)} AS {_cast(field.name)}" for field in fields)
    types = ", ".join(
        f"CASE WHEN is_plain THEN {_cast(field.name)} ELSE {_typed(field)} END AS {field.name}"
        for field in fields
    )
    names = ", ".join([PROBLEM, "is_plain", *(f"{name}, {_cast(name)}" for name in SCHEMAS[table].names)])
    return f"""
        SELECT * EXCLUDE ({names}), {types},
               CASE WHEN NOT is_plain THEN {rule_sql(table, landed_before)} END AS {RULE}
        FROM (SELECT *, coalesce({_is_plain(table, landed_before)}, false) AS is_plain
              FROM (SELECT *, {casts} FROM {source}))
    """


def rule_sql(table: str, landed_before: datetime) -> str:
    """SQL text, null for a good row: the first rule that the row breaks. Reads the text columns."""
    checks = [(f"{PROBLEM} IS NOT NULL", PROBLEM)]
    for field in SCHEMAS[table]:
        if not field.nullable:
            checks.append((f"{field.name} IS NULL OR {field.name} = ''", f"'{field.name} is missing'"))
        bad = f"{field.name} IS NOT NULL AND ({_typed(field)}) IS NULL"
        checks.append((bad, f"'{field.name} is not {_type_name(field.type)}'"))
    checks += [(f"{_number(name)} < 0", f"'{name} is negative'") for name in _NON_NEGATIVE[table]]
    checks += [
        (f"length({name}) > {MAX_TEXT}", f"'{name} is longer than {MAX_TEXT} characters'")
        for name in _SHORT_TEXT.get(table, ())
    ]
    if table == WATCHES:
        checks.append(
            (f"{_number(WATCH_SECONDS)} > {MAX_WATCH_SECONDS}", f"'{WATCH_SECONDS} is longer than a day'")
        )
    if EVENT_TIME in SCHEMAS[table].names:
        late = f"'{EVENT_TIME} lies after its landing day: clock ahead'"
        checks += [
            (
                f"{_time(EVENT_TIME)} < {_moment(EARLIEST_MOMENT)}",
                f"'{EVENT_TIME} is before {EARLIEST_MOMENT:%Y-%m-%d}'",
            ),
            (f"{_time(EVENT_TIME)} >= {_moment(landed_before)}", late),
        ]
    return "CASE " + " ".join(f"WHEN {bad} THEN {rule}" for bad, rule in checks) + " END"


def _cast(name: str) -> str:
    return f"cast_{name}"


def _plain_cast(field: pa.Field) -> str:
    """Right for plain text only; anything else may come out as null or as another value."""
    if pa.types.is_integer(field.type):
        return f"TRY_CAST({field.name} AS {_integer_type(field)})"
    if pa.types.is_boolean(field.type):
        return f"({field.name} = 'true')"
    return _typed(field)


def _is_plain(table: str, landed_before: datetime) -> str:
    """A condition that only rows meet which break no rule, and whose ``_plain_cast`` is their value."""
    conditions = [f"{PROBLEM} IS NULL"]
    for field in SCHEMAS[table]:
        name, cast = field.name, _cast(field.name)
        low = " >= 0" if name in _NON_NEGATIVE[table] else " IS NOT NULL"
        if name == WATCH_SECONDS:
            low = f" BETWEEN 0 AND {MAX_WATCH_SECONDS}"
        if pa.types.is_integer(field.type):
            good = f"{cast}{low} AND {cast}::VARCHAR = {name}"
        elif pa.types.is_boolean(field.type):
            good = f"{name} IN ('true', 'false')"
        elif name == EVENT_TIME:
            good = f"{cast} >= {_moment(EARLIEST_MOMENT)} AND {cast} < {_moment(landed_before)}"
        elif pa.types.is_string(field.type):
            good = f"strlen({name}) BETWEEN 1 AND {MAX_TEXT}"
            if field.nullable and name not in _SHORT_TEXT.get(table, ()):
                continue  # any text is right
        else:
            good = f"{cast}{low}"
        conditions.append(good if not field.nullable else f"({name} IS NULL OR {good})")
    return " AND ".join(conditions)


def _typed(field: pa.Field) -> str:
    if pa.types.is_string(field.type):
        return field.name
    if pa.types.is_integer(field.type):
        whole = f"TRY_CAST(regexp_replace({field.name}, '\\.0+$', '') AS {_integer_type(field)})"
        return f"CASE WHEN regexp_matches({field.name}, '{_INTEGER}') THEN {whole} END"
    if pa.types.is_floating(field.type):
        return _number(field.name)
    if pa.types.is_boolean(field.type):
        text = f"lower({field.name})"
        return f"CASE WHEN {text} IN {_TRUE} THEN true WHEN {text} IN {_FALSE} THEN false END"
    if pa.types.is_timestamp(field.type):
        return _time(field.name)
    element = "BIGINT" if pa.types.is_integer(field.type.value_type) else "VARCHAR"
    items = f"TRY(from_json({field.name}, '[\"{element}\"]'))"
    has_null = f"list_contains(list_transform({items}, lambda item: item IS NULL), true)"
    return f"CASE WHEN NOT {has_null} THEN {items} END"


def _integer_type(field: pa.Field) -> str:
    return "INTEGER" if field.type == pa.int32() else "BIGINT"


def _moment(time: datetime) -> str:
    return f"TIMESTAMPTZ '{time.isoformat()}'"


def _number(name: str) -> str:
    number = f"TRY_CAST({name} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _time(name: str) -> str:
    return f"CASE WHEN regexp_matches({name}, '{_OFFSET}') THEN TRY_CAST({name} AS TIMESTAMPTZ) END"


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return f"an integer of {kind.bit_width} bits"
    if pa.types.is_floating(kind):
        return "a finite number"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_timestamp(kind):
        return "a time with UTC offset"
    return f"a list of {'integers' if pa.types.is_integer(kind.value_type) else 'texts'}"
