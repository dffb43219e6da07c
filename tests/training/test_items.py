"""Uploaders, tags and other values by row."""

import numpy as np
import pyarrow as pa

from features.lake import curated_schema
from features.schema import VIDEOS as VIDEO_TABLE
from features.vocabulary import Vocabulary
from tests.training.logs import at
from training.items import Items

SNAPSHOT = pa.Table.from_pylist(
    [
        {"video_id": 10, "uploader_id": 7, "tag_ids": [3, 1], "category": "b", "duration_seconds": 7.0},
        {"video_id": 20, "tag_ids": None, "category": None, "published_at": at(0.5)},
        {"video_id": 30, "uploader_id": 5, "tag_ids": [3], "category": "a", "published_at": at(0.9)},
        {"video_id": 99, "uploader_id": 9, "tag_ids": [8], "category": "c"},
    ],
    schema=curated_schema(VIDEO_TABLE),
)
VOCABULARY = Vocabulary(np.array([30, 40, 10, 20]))
"""Rows 1..4; 40 is not in the snapshot, 99 not in the vocabulary."""


def test_each_row_has_its_values() -> None:
    fields = Items.of(VOCABULARY, SNAPSHOT).fields
    assert fields["uploader_id"].rows.tolist() == [[0], [1], [0], [2], [0]], "5 and 7 are rows 1 and 2"
    assert fields["tag_ids"].rows.tolist() == [[0, 0], [2, 0], [0, 0], [2, 1], [0, 0]]
    assert fields["category"].rows.tolist() == [[0], [1], [0], [2], [0]]
    assert fields["published"].rows.tolist() == [[0], [1], [0], [0], [1]], "of one day"
    assert fields["duration"].rows.tolist() == [[0], [0], [0], [1], [0]]
    assert {name: field.num_rows for name, field in fields.items()} == {
        "uploader_id": 3, "tag_ids": 3, "category": 3, "language": 1, "duration": 2, "published": 2,
    }  # fmt: skip


def test_a_field_that_nobody_has_is_one_empty_column() -> None:
    assert Items.of(Vocabulary(np.array([20])), SNAPSHOT).fields["tag_ids"].rows.tolist() == [[0], [0]]
