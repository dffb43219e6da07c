"""What is known of a video besides its id, as rows of small tables, numbered once for training and after.

The values that training saw in a field are numbered from 1 in their order. Row 0 stands for no value and for
one that training never saw, so that any curated video has rows. Values are kept as text.

Shape letters: V videos, G most values of one video in a field.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    LANGUAGE,
    PAD_ROW,
    PUBLISHED_AT,
    TAG_IDS,
    UPLOADER_ID,
)

FieldName = Literal["uploader_id", "tag_ids", "category", "language", "duration", "published"]
FIELD: Final = "field"
VALUE: Final = "value"
ROW: Final = "row"
_VALUES: Final[dict[FieldName, str]] = {
    "uploader_id": f"[{UPLOADER_ID}]",
    "tag_ids": TAG_IDS,
    "category": f"[{CATEGORY}]",
    "language": f"[{LANGUAGE}]",
    # Thirds of an octave: 10 and 12 seconds differ as 60 and 75 do.
    "duration": f"[floor(3 * log2(1 + {DURATION_SECONDS}))::BIGINT]",
    "published": f"[floor(epoch({PUBLISHED_AT}) / 86400)::BIGINT]",
}
"""SQL list of the values of a video; nulls and an empty list are none."""
FIELD_NAMES: Final = tuple(_VALUES)


class ItemFields:
    """The values of each field that training saw; place i has row i + 1.

    Args:
        values: distinct texts per field.
    """

    def __init__(self, values: Mapping[FieldName, pa.StringArray]) -> None:
        self._values = dict(values)

    @classmethod
    def of(cls, videos: pa.Table) -> "ItemFields":
        """Every value of curated ``videos``, numbers by size and texts by their characters."""
        connection = duckdb.connect()
        connection.register("videos", videos)
        values: dict[FieldName, pa.StringArray] = {}
        for name, sql in _VALUES.items():
            found = connection.sql(
                f"SELECT v::VARCHAR AS {VALUE} FROM (SELECT DISTINCT unnest({sql}) AS v FROM videos) "
                "WHERE v IS NOT NULL ORDER BY v"
            )
            values[name] = found.to_arrow_table()[VALUE].combine_chunks()
        return cls(values)

    @property
    def names(self) -> tuple[FieldName, ...]:
        """The fields."""
        return tuple(self._values)

    def num_rows(self, name: FieldName) -> int:
        """Rows of the table of a field, row 0 included."""
        return len(self._values[name]) + 1

    def only(self, names: Iterable[FieldName]) -> "ItemFields":
        """The same numbers for fewer fields."""
        return ItemFields({name: self._values[name] for name in names})

    def rows_of(self, videos: pa.Table) -> dict[FieldName, Int64[np.ndarray, "V G"]]:
        """Rows of the values of curated ``videos``, in their order; 0 behind the last known value."""
        if not self._values:
            return {}
        connection = duckdb.connect()
        connection.register("videos", videos)
        columns = (f"({_VALUES[name]})::VARCHAR[] AS {name}" for name in self._values)
        lists = connection.sql(f"SELECT {', '.join(columns)} FROM videos").to_arrow_table()
        return {name: _rows(lists[name].combine_chunks(), values) for name, values in self._values.items()}

    def to_table(self) -> pa.Table:
        """``field, value, row``: the content of ``item_fields.parquet``."""
        tables = [
            pa.table({FIELD: [name] * len(values), VALUE: values, ROW: np.arange(1, len(values) + 1)})
            for name, values in self._values.items()
        ]
        schema = pa.schema([(FIELD, pa.string()), (VALUE, pa.string()), (ROW, pa.int64())])
        return pa.concat_tables([table.cast(schema) for table in tables]) if tables else schema.empty_table()

    @classmethod
    def from_table(cls, table: pa.Table) -> "ItemFields":
        """The inverse of ``to_table``, for rows in any order; a field without values is left out."""
        table = table.sort_by(ROW)
        found = set(table[FIELD].to_pylist())
        return cls(
            {
                name: table.filter(pc.equal(table[FIELD], name))[VALUE].combine_chunks()
                for name in FIELD_NAMES
                if name in found
            }
        )


def _rows(lists: pa.ListArray, values: pa.StringArray) -> Int64[np.ndarray, "V G"]:
    """Rows of listed texts, those without one left out."""
    places = pc.fill_null(pc.index_in(lists.flatten(), value_set=values), -1).to_numpy()
    known = places >= 0
    owners = pc.list_parent_indices(lists).to_numpy()[known]
    counts = np.bincount(owners, minlength=len(lists))
    columns = np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)
    rows = np.full((len(lists), max(int(counts.max(initial=0)), 1)), PAD_ROW, dtype=np.int64)
    rows[owners, columns] = places[known] + 1
    return rows
