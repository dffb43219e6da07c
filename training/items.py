"""What is known of the videos of a vocabulary, as rows of small tables, for networks that read it.

Networks keep these as buffers, so that the exported program looks them up by video row by itself.

Shape letters: R rows (row 0 is padding), G most values of one video in a field.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.item_fields import FieldName, ItemFields
from features.schema import PAD_ROW, VIDEO_ID
from features.vocabulary import Vocabulary


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
    values: ItemFields = field(default_factory=lambda: ItemFields({}))
    """Which value has which row."""

    @classmethod
    def of(cls, vocabulary: Vocabulary, videos: pa.Table) -> "Items":
        """Look the videos of ``vocabulary`` up in a snapshot; those that it lacks have nothing."""
        owners = vocabulary.rows_of(videos[VIDEO_ID].to_numpy())
        videos, owners = videos.filter(owners != PAD_ROW), owners[owners != PAD_ROW]
        values = ItemFields.of(videos)
        fields = {}
        for name, rows in values.rows_of(videos).items():
            of_row = np.full((vocabulary.num_rows, rows.shape[1]), PAD_ROW, dtype=np.int64)
            of_row[owners] = rows
            fields[name] = Field(of_row, values.num_rows(name))
        return cls(vocabulary.num_rows, fields, values)
