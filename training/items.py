"""What is known of the videos of a vocabulary, as rows of small tables, for networks that read it.

Networks keep these as buffers, so that the exported program looks them up by video row by itself.

Shape letters: R rows (row 0 is padding), G most values of one video in a field.
"""

from dataclasses import dataclass
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
    VIDEO_ID,
)
from features.vocabulary import Vocabulary

FieldName = Literal["uploader_id", "tag_ids", "category", "language", "duration", "published"]
_VALUES: Final[dict[FieldName, str]] = {
    "uploader_id": f"[{UPLOADER_ID}]",
    "tag_ids": TAG_IDS,
    "category": f"[{CATEGORY}]",
    "language": f"[{LANGUAGE}]",
    # Thirds of an octave: 10 and 12 seconds differ as 60 and 75 do.
    "duration": f"[floor(3 * log2(1 + {DURATION_SECONDS}))]",
    "published": f"[floor(epoch({PUBLISHED_AT}) / 86400)]",
}
"""SQL list of the values of a video; nulls and an empty list are none."""


@dataclass(frozen=True, slots=True)
class Field:
    """Rows of a table of values, per video row; 0 where there is none."""

    rows: Int64[np.ndarray, "R G"]
    num_rows: int


@dataclass(frozen=True, slots=True)
class Items:
    """Every field of the videos of one vocabulary."""

    num_rows: int
    fields: dict[FieldName, Field]

    @classmethod
    def of(cls, vocabulary: Vocabulary, videos: pa.Table) -> "Items":
        """Look the videos of ``vocabulary`` up in a snapshot; those that it lacks have nothing."""
        connection = duckdb.connect()
        connection.register("videos", videos)
        lists = connection.sql(
            "SELECT "
            + ", ".join(f"list_filter({sql}, lambda v: v IS NOT NULL) AS {n}" for n, sql in _VALUES.items())
            + " FROM videos"
        ).to_arrow_table()
        owners = vocabulary.rows_of(videos[VIDEO_ID].to_numpy())
        fields = {name: _field(owners, lists[name], vocabulary.num_rows) for name in _VALUES}
        return cls(vocabulary.num_rows, fields)


def _field(owners: Int64[np.ndarray, " V"], lists: pa.ChunkedArray, num_rows: int) -> Field:
    """Number the values from 1, in their order, and put them beside their owners."""
    column = lists.combine_chunks()
    of_value = owners[pc.list_parent_indices(column).to_numpy()]
    used = of_value != PAD_ROW
    distinct, values = np.unique(column.flatten().to_numpy(zero_copy_only=False)[used], return_inverse=True)
    order = np.argsort(of_value[used], kind="stable")
    of_value, values = of_value[used][order], values[order] + 1
    counts = np.bincount(of_value, minlength=num_rows)
    places = np.arange(len(of_value)) - np.repeat(counts.cumsum() - counts, counts)
    rows = np.full((num_rows, max(int(counts.max(initial=0)), 1)), PAD_ROW, dtype=np.int64)
    rows[of_value, places] = values
    return Field(rows, len(distinct) + 1)
