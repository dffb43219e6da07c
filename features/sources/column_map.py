"""The column map: a TOML file that says which column of somebody's log is which column of Facet.

    source = "myapp"                      # name in file names and of the id maps
    text_ids = ["user", "video"]          # ids that are text; true: all of them
    [watches]
    files = "plays_*.csv"
    [watches.columns]
    user_id = "uid"
    video_id = "clip"
    event_time = { column = "ts", unit = "ms" }
    liked = { column = "action", one_of = ["like", "superlike"] }

``docs/data.md`` has the reference. Everything is checked before the first row is read; each error names the
key and what is allowed there.
"""

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import available_timezones

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from features.errors import BadInputError
from features.schema import (
    EVENT_ID,
    IS_ONLINE,
    PROFILE,
    SCHEMAS,
    TAG_IDS,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCHES,
)
from features.sources.id_map import KINDS, TAG, UPLOADER, USER, VIDEO

TABLES: Final = (WATCHES, VIDEOS, USERS)
ID_KINDS: Final = {USER_ID: USER, VIDEO_ID: VIDEO, UPLOADER_ID: UPLOADER, TAG_IDS: TAG}
"""Column -> kind of the ids that it holds."""
TIME_UNITS: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""Microseconds in each unit of epoch time."""
SECOND_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}
"""Seconds in each unit of a duration."""
ISO_UNIT: Final = "iso"

TIME: Final = "time"
SECONDS: Final = "seconds"
FLAG: Final = "flag"
LIST: Final = "list"
PLAIN: Final = "plain"
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    TIME: ("unit", "format", "timezone"),
    SECONDS: ("unit", "times"),
    FLAG: ("at_least", "one_of"),
    LIST: ("separator", "tokens"),
    PLAIN: (),
}
_OPTIONAL: Final = {WATCHES: (EVENT_ID,), VIDEOS: (IS_ONLINE,), USERS: ()}
"""Required columns that the importer fills itself where the map does not name them."""


def column_kind(table: str, name: str) -> str:
    """Which conversions a column of ``table`` may ask for."""
    kind = SCHEMAS[table].field(name).type
    if pa.types.is_timestamp(kind):
        return TIME
    if pa.types.is_floating(kind):
        return SECONDS
    if pa.types.is_boolean(kind):
        return FLAG
    return LIST if pa.types.is_list(kind) else PLAIN


def _as_tuple(value: Any) -> Any:  # noqa: ANN401  pydantic judges what comes out
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One name, or a list of them."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Column(_Strict):
    """Where the values of one Facet column come from. A bare text in the map is the name of a column."""

    column: str | None = None
    """Column of the source."""
    constant: bool | int | float | str | None = None
    """The same value for every row, instead of a column."""
    default: bool | int | float | str | None = None
    """Value for rows where the column is empty."""
    unit: str | None = None
    """Times: s, ms, us, ns since 1970, or iso (default). Durations: s (default), ms, us, min."""
    format: str | None = None
    """Times: a strptime pattern such as ``%d.%m.%Y %H:%M``, instead of a unit."""
    timezone: str | None = None
    """Times without an offset are of this zone, e.g. ``UTC`` or ``Asia/Shanghai``."""
    times: str | None = None
    """Durations: multiply by this column (watch ratio times duration)."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Flags: true from this number on, false below."""
    one_of: Names | None = None
    """Flags: true for these values, false for others."""
    separator: str | None = None
    """Lists: what separates the items; without it the value must be a JSON list."""
    tokens: Names | None = None
    """Profile: columns (``*`` allowed) that become ``name=value`` tokens where they are not empty."""

    @model_validator(mode="before")
    @classmethod
    def _accept_bare_name(cls, value: Any) -> Any:  # noqa: ANN401
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_origin(self) -> "Column":
        if sum(origin is not None for origin in (self.column, self.constant, self.tokens)) != 1:
            raise ValueError("say exactly one of column, constant, tokens")
        if self.timezone is not None and self.timezone not in available_timezones():
            raise ValueError(
                f"timezone {self.timezone!r} is none that is known, such as UTC or Asia/Shanghai"
            )
        if self.format is not None and self.unit is not None:
            raise ValueError("say unit or format, not both")
        return self


class Join(_Strict):
    """A second file whose columns are added to each row by an equal key; rows without a match stay."""

    files: Names
    on: str
    """Column that both files have."""
    newest: str | None = None
    """Where a key has several rows, take the one with the largest value of this column; else the first."""


class TableRules(_Strict):
    """How to read the files of one table, and what becomes of their columns."""

    files: Names | None = None
    """Patterns of file names inside the folder; all CSV, TSV and Parquet files if unset."""
    delimiter: str = Field(default=",", min_length=1)
    quoted: bool = True
    """Whether fields may stand in double quotes; never with a delimiter of several characters."""
    encoding: str = "utf-8"
    header: Names | None = None
    """Names of the columns, for files whose first line does not hold them."""
    unknown: tuple[str, ...] = ()
    """Values that mean unknown, besides the empty one."""
    snapshot_day: date | None = None
    """Videos, users: their landing day; by default the day of the first watch of the same import."""
    join: tuple[Join, ...] = ()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _check_encoding(self) -> "TableRules":
        try:
            "".encode(self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding {self.encoding!r} is not known") from error
        return self

    @property
    def has_quotes(self) -> bool:
        """Whether a double quote has a meaning in these files."""
        return self.quoted and len(self.delimiter) == 1


class ColumnMap(_Strict):
    """A whole map."""

    source: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the log: in the names of landing files, and the folder of its id maps."""
    text_ids: bool | tuple[Literal["user", "video", "uploader", "tag"], ...] = ()
    """Kinds of ids that are text and get numbers from the id map; ``true``: all."""
    watches: TableRules | None = None
    videos: TableRules | None = None
    users: TableRules | None = None

    @model_validator(mode="after")
    def _check_tables(self) -> "ColumnMap":
        problems = [problem for table in TABLES for problem in self._problems(table)]
        if not any(self.rules(table) for table in TABLES):
            problems = [f"the map has none of the tables {', '.join(TABLES)}"]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def rules(self, table: str) -> TableRules | None:
        """The part of ``table``, if the map has one."""
        found: TableRules | None = getattr(self, table)
        return found

    @property
    def text_kinds(self) -> tuple[str, ...]:
        """Kinds of ids that go through the id map."""
        return (KINDS if self.text_ids else ()) if isinstance(self.text_ids, bool) else self.text_ids

    def _problems(self, table: str) -> list[str]:
        rules = self.rules(table)
        if rules is None:
            return []
        names = SCHEMAS[table].names
        found = [
            f"{table}.columns.{name}: Facet's {table} have no such column; they have {', '.join(names)}"
            for name in rules.columns
            if name not in names
        ]
        required = [field.name for field in SCHEMAS[table] if not field.nullable]
        missing = [name for name in required if name not in rules.columns and name not in _OPTIONAL[table]]
        hint = f" ({UPLOADER_ID} = {{ constant = 0 }} where the log knows none)"
        found += [
            f"{table}.columns.{name} is missing; every row needs one{hint * (name == UPLOADER_ID)}"
            for name in missing
        ]
        if rules.files is None and sum(self.rules(other) is not None for other in TABLES) > 1:
            found.append(f"{table}.files is missing; a map of several tables must say which files are whose")
        if table == WATCHES and rules.snapshot_day is not None:
            found.append("watches.snapshot_day: watches land on the day of their event_time")
        for name, column in rules.columns.items():
            found += _option_problems(table, name, column) if name in names else []
        return found


def load_column_map(path: Path) -> ColumnMap:
    """Read a map.

    Raises:
        BadInputError: the file is missing, no TOML, or says something that cannot be; all problems are named.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error
    return parse_column_map(text, str(path))


def parse_column_map(text: str, name: str) -> ColumnMap:
    """Like ``load_column_map``, from the text; ``name`` stands in the errors."""
    try:
        return ColumnMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{name} is not TOML: {error}") from error
    except ValidationError as error:
        problems = [line for found in error.errors() for line in _explain(found["loc"], found)]
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise BadInputError(f"{name} is no column map:{listed}") from error


def _explain(place: tuple[int | str, ...], problem: Any) -> list[str]:  # noqa: ANN401  pydantic's ErrorDetails
    where = ".".join(
        str(part) for part in place if not str(part).startswith(("literal", "tuple", "function"))
    )
    if problem["type"] == "extra_forbidden":
        return [f"{where}: unknown key"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return [f"{where}: {message}"] if where else message.split("\n")


def _option_problems(table: str, name: str, column: Column) -> list[str]:
    kind, where = column_kind(table, name), f"{table}.columns.{name}"
    every = {option for options in _OPTIONS.values() for option in options}
    allowed = set(_OPTIONS[kind]) - (set() if name == PROFILE else {"tokens"})
    found = [
        f"{where}.{option}: has no meaning here; besides column, constant and default this column takes "
        f"{', '.join(sorted(allowed)) or 'nothing'}"
        for option in sorted(every - allowed)
        if getattr(column, option) is not None
    ]
    units = {TIME: (*TIME_UNITS, ISO_UNIT), SECONDS: tuple(SECOND_UNITS)}.get(kind)
    if units and column.unit is not None and column.unit not in units:
        found.append(f"{where}.unit: {column.unit!r} is none of {', '.join(units)}")
    return found
