"""Uploaders and tags by row."""

import numpy as np
import pyarrow as pa

from features.vocabulary import Vocabulary
from training.items import Items

VIDEOS = pa.table(
    {
        "video_id": [10, 20, 30, 99],
        "uploader_id": pa.array([7, None, 5, 7], pa.int64()),
        "tag_ids": pa.array([[3, 1], None, [3], [8]], pa.list_(pa.int64())),
    }
)


def test_each_row_has_its_uploader_and_its_tags() -> None:
    items = Items.of(Vocabulary(np.array([30, 40, 10, 20])), VIDEOS)
    # Rows 1..4 are the videos 30, 40 (not in the snapshot), 10, 20; uploaders 5, 7 are rows 1, 2.
    assert items.uploader_rows.tolist() == [0, 1, 0, 2, 0]
    # Tags 1, 3, 8 are rows 1, 2, 3.
    assert items.tag_rows.tolist() == [[0, 0], [2, 0], [0, 0], [2, 1], [0, 0]]
    assert (items.num_rows, items.num_uploader_rows, items.num_tag_rows) == (5, 3, 4)


def test_videos_without_any_tag_have_one_empty_column() -> None:
    bare = VIDEOS.set_column(2, "tag_ids", pa.array([None] * 4, pa.list_(pa.int64())))
    assert Items.of(Vocabulary(np.array([10])), bare).tag_rows.tolist() == [[0], [0]]
