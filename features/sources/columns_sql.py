"""The DuckDB statements of an import by column map: from source columns to those of features/schema.py.

Each value is converted where it can be and passed on as it is where it cannot: ingest, not the importer,
refuses rows, and gives the reason.
"""

from typing import Final

from features.schema import (
    EVENT_ID,
    EVENT_TIME,
    IS_ONLINE,
    PROFILE,
    SCHEMAS,
    TAG_IDS,
    USER_ID,
    VIDEO_ID,
    VIDEOS,
    WATCHES,
)
from features.sources.column_map import (
    FLAG,
    ID_KINDS,
    ISO_UNIT,
    LIST,
    SECOND_UNITS,
    SECONDS,
    TIME,
    TIME_UNITS,
    Column,
    ColumnMap,
    TableRules,
    column_kind,
)
from features.sources.delimited import NUMBER
from features.sources.source_rows import REJECTED, SOURCE_ROWS, SourceRows
from features.sql import literal

LANDING_ROWS: Final = "landing_rows"
DAY: Final = "landing_day_of_row"
ISO: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
EARLIEST: Final = "1990-01-01"
"""A day before is the zero of a broken clock (1970, 1980); MovieLens starts in 1995."""
LATEST: Final = "2100-01-01"
_NULL: Final = "CAST(NULL AS VARCHAR)"
_WITH_OFFSET: Final = r"[T ][0-9:.]+ ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


def landing_rows(table: str, rules: TableRules, rows: SourceRows, seed: str) -> str:
    """Create ``LANDING_ROWS``: ``number``, the day (null where unknown) and every landing column as text.

    Args:
        seed: what, with the number of a row, stands in for an event id that cannot be made from the row.
    """
    expressions = {
        name: _expression(table, name, rules.columns[name], rows) if name in rules.columns else _NULL
        for name in SCHEMAS[table].names
    }
    day = _NULL
    if table == WATCHES:
        moment = _moment(rules.columns[EVENT_TIME], rows)
        is_usable = f"{moment} >= TIMESTAMP '{EARLIEST}' AND {moment} < TIMESTAMP '{LATEST}'"
        day = f"CASE WHEN {is_usable} THEN strftime({moment}, '%Y-%m-%d') END"
        if EVENT_ID not in rules.columns:
            expressions[EVENT_ID] = _event_id(rules, rows, seed)
    elif table == VIDEOS and IS_ONLINE not in rules.columns:
        expressions[IS_ONLINE] = "'true'"
    columns = ", ".join(f"{expression} AS {name}" for name, expression in expressions.items())
    return f"""
        CREATE OR REPLACE TABLE {LANDING_ROWS} AS
        SELECT {NUMBER}, {day} AS {DAY}, {columns} FROM {SOURCE_ROWS} WHERE {REJECTED} IS NULL
    """


def distinct_ids(name: str) -> str:
    """The texts of an id column of ``LANDING_ROWS``, in order of first appearance."""
    if name == TAG_IDS:
        return f"""
            SELECT text FROM (SELECT {NUMBER}, unnest({_TAG_TEXTS}) AS text,
                                     generate_subscripts({_TAG_TEXTS}, 1) AS position FROM {LANDING_ROWS})
            WHERE text IS NOT NULL GROUP BY text ORDER BY min(struct_pack(n := {NUMBER}, p := position))
        """
    return f"""
        SELECT {name} AS text FROM {LANDING_ROWS} WHERE {name} IS NOT NULL
        GROUP BY {name} ORDER BY min({NUMBER})
    """


def create_numbered_tags(ids: str) -> str:
    """Create ``numbered_tags``: the tag lists of ``LANDING_ROWS`` with the numbers of the table ``ids``."""
    return f"""
        CREATE OR REPLACE TABLE numbered_tags AS
        SELECT {NUMBER}, CAST(to_json(list(ids.id ORDER BY position)) AS VARCHAR) AS numbers
        FROM (SELECT {NUMBER}, unnest({_TAG_TEXTS}) AS text,
                     generate_subscripts({_TAG_TEXTS}, 1) AS position FROM {LANDING_ROWS}) tags
        JOIN {ids} ids USING (text) GROUP BY {NUMBER}
    """


def select_by_day(table: str, numbered: dict[str, str]) -> str:
    """Landing rows and their day (``$first_day`` where unknown), sorted by day and place in the file.

    Args:
        numbered: id column -> table of its ``text`` and ``id``.
    """
    joins, columns = "", []
    for name in SCHEMAS[table].names:
        if name not in numbered:
            columns.append(f"r.{name}")
        elif name == TAG_IDS:
            joins += f" LEFT JOIN numbered_tags ON numbered_tags.{NUMBER} = r.{NUMBER}"
            columns.append(f"coalesce(numbered_tags.numbers, r.{name}) AS {name}")
        else:
            joins += f" LEFT JOIN {numbered[name]} {name}_ids ON {name}_ids.text = r.{name}"
            columns.append(f"CAST({name}_ids.id AS VARCHAR) AS {name}")
    return f"""
        SELECT coalesce(r.{DAY}, $first_day) AS {DAY}, {", ".join(columns)}
        FROM {LANDING_ROWS} r{joins} ORDER BY coalesce(r.{DAY}, $first_day), r.{NUMBER}
    """


def numbered_columns(table: str, rules: ColumnMap) -> list[str]:
    """Id columns of ``table`` that go through the id map."""
    mapped = rules.rules(table)
    assert mapped is not None
    return [name for name, kind in ID_KINDS.items() if name in mapped.columns and kind in rules.text_kinds]


_TAG_TEXTS: Final = f"TRY(from_json({TAG_IDS}, '[\"VARCHAR\"]'))"


def _expression(table: str, name: str, column: Column, rows: SourceRows) -> str:
    """SQL text of one landing column."""
    wanted_for = f"{table}.{name}"
    if column.constant is not None:
        value = _literal(column.constant)
    elif column.tokens is not None:
        value = _tokens(rows, column)
    else:
        assert column.column is not None
        raw = rows.column(column.column, wanted_for)
        kind = column_kind(table, name)
        if kind == TIME:
            value = f"coalesce(strftime({_moment(column, rows)}, '{ISO}'), {raw})"
        elif kind == SECONDS:
            value = _seconds(raw, column, rows, wanted_for)
        elif kind == FLAG:
            value = _flag(raw, column)
        elif kind == LIST and column.separator is not None:
            value = _list(raw, column.separator)
        else:
            value = raw
    return value if column.default is None else f"coalesce({value}, {_literal(column.default)})"


def _moment(column: Column, rows: SourceRows) -> str:
    """The time of a row as TIMESTAMP in UTC, null where it is none."""
    raw = _literal(column.constant) if column.column is None else rows.column(column.column, "a time")
    if column.unit in TIME_UNITS:
        micros = f"TRY_CAST({raw} AS DOUBLE) * {TIME_UNITS[column.unit]}"
        if column.unit == "ns":
            micros = f"TRY_CAST({raw} AS BIGINT) // 1000"  # a double has no room for today's nanoseconds
        return f"TRY(make_timestamp(CAST(round({micros}) AS BIGINT)))"
    assert column.unit in (None, ISO_UNIT)
    if column.format is not None:
        return _in_utc(f"try_strptime({raw}, {_literal(column.format)})", column)
    local = _in_utc(f"TRY_CAST({raw} AS TIMESTAMP)", column)
    with_offset = f"timezone('UTC', TRY_CAST({raw} AS TIMESTAMPTZ))"
    return f"CASE WHEN regexp_matches({raw}, '{_WITH_OFFSET}') THEN {with_offset} ELSE {local} END"


def _in_utc(local: str, column: Column) -> str:
    """A time without offset; null unless the map says of which zone it is."""
    zone = column.timezone
    return f"timezone('UTC', timezone('{zone}', {local}))" if zone else f"CASE WHEN false THEN {local} END"


def _seconds(raw: str, column: Column, rows: SourceRows, wanted_for: str) -> str:
    number = f"TRY_CAST({raw} AS DOUBLE)"
    if column.times is not None:
        number += f" * TRY_CAST({rows.column(column.times, wanted_for)} AS DOUBLE)"
    factor = SECOND_UNITS[column.unit or "s"]
    # A division keeps 61802 ms at 61.802; a product with .001 does not.
    number = f"({number}) / {round(1 / factor)}" if factor < 1 else f"({number}) * {factor}"
    return f"coalesce(CAST({number} AS VARCHAR), {raw})"


def _flag(raw: str, column: Column) -> str:
    if column.one_of is not None:
        values = ", ".join(_literal(value) for value in column.one_of)
        return f"CASE WHEN {raw} IN ({values}) THEN 'true' WHEN {raw} IS NOT NULL THEN 'false' END"
    if column.at_least is not None:
        number = f"TRY_CAST({raw} AS DOUBLE)"
        reached = f"CASE WHEN {number} >= {column.at_least} THEN 'true' ELSE 'false' END"
        return f"CASE WHEN isfinite({number}) THEN {reached} ELSE {raw} END"
    return raw


def _list(raw: str, separator: str) -> str:
    items = f"list_transform(string_split({raw}, {_literal(separator)}), lambda item: trim(item))"
    return f"CAST(to_json(list_filter({items}, lambda item: item <> '')) AS VARCHAR)"


def _tokens(rows: SourceRows, column: Column) -> str:
    assert column.tokens is not None
    found = rows.matching(column.tokens)
    for pattern in column.tokens:
        if not any(character in pattern for character in "*?["):
            rows.column(pattern, f"a token of {PROFILE}")
    tokens = ", ".join(
        f"{_literal(f'{name}=')} || regexp_replace({rows.column(name, PROFILE)}, '\\.0$', '')"
        for name in found
    )
    listed = f"list_filter(CAST([{tokens}] AS VARCHAR[]), lambda token: token IS NOT NULL)"
    return f"CAST(to_json({listed}) AS VARCHAR)"


def _event_id(rules: TableRules, rows: SourceRows, seed: str) -> str:
    """Who, what and when make a watch, as the log writes them: the same row has the same id in any file."""
    parts = [
        _expression(WATCHES, name, rules.columns[name], rows) for name in (USER_ID, VIDEO_ID, EVENT_TIME)
    ]
    known = " AND ".join(f"{part} IS NOT NULL" for part in parts)
    joined = " || '-' || ".join(parts)
    return f"CASE WHEN {known} THEN md5({joined}) ELSE md5({_literal(seed)} || ':' || {NUMBER}) END"


def _literal(value: object) -> str:
    """A constant of the map as SQL text."""
    return literal(str(value).lower() if isinstance(value, bool) else str(value))
