"""Values of videos by row: numbered in their order, the same for videos that come later."""

import pyarrow as pa

from features.item_fields import ItemFields
from features.lake import curated_schema
from features.schema import VIDEOS

KNOWN = pa.Table.from_pylist(
    [
        {"video_id": 1, "uploader_id": 10, "tag_ids": [30, 4], "category": "b", "duration_seconds": 7.0},
        {"video_id": 2, "uploader_id": 9, "tag_ids": [4], "category": "a"},
    ],
    schema=curated_schema(VIDEOS),
)
LATER = pa.Table.from_pylist(
    [
        {"video_id": 8, "uploader_id": 10, "tag_ids": [77, 30, None, 4], "category": "c"},
        {"video_id": 9, "uploader_id": 1, "tag_ids": None, "duration_seconds": 7.5},
    ],
    schema=curated_schema(VIDEOS),
)


def test_numbers_are_in_the_order_of_the_values_not_of_their_text() -> None:
    rows = ItemFields.of(KNOWN).rows_of(KNOWN)
    assert rows["uploader_id"].tolist() == [[2], [1]]
    assert rows["tag_ids"].tolist() == [[2, 1], [1, 0]]
    assert rows["category"].tolist() == [[2], [1]]
    assert rows["duration"].tolist() == [[1], [0]], "3 * log2(8) = 9"


def test_a_later_video_has_the_rows_of_the_values_that_are_known() -> None:
    rows = ItemFields.of(KNOWN).rows_of(LATER)
    assert rows["uploader_id"].tolist() == [[2], [0]]
    assert rows["tag_ids"].tolist() == [[2, 1], [0, 0]], "77 was never seen and leaves no gap"
    assert rows["category"].tolist() == [[0], [0]]
    assert rows["duration"].tolist() == [[0], [1]], "3 * log2(8.5) = 9.3"


def test_a_table_gives_the_same_numbers_back() -> None:
    fields = ItemFields.of(KNOWN).only(["tag_ids", "uploader_id"])
    table = fields.to_table()
    assert table.num_rows == 4
    back = ItemFields.from_table(table.take([3, 1, 0, 2]))
    assert set(back.names) == {"tag_ids", "uploader_id"}
    assert back.num_rows("tag_ids") == 3
    for name, rows in fields.rows_of(LATER).items():
        assert back.rows_of(LATER)[name].tolist() == rows.tolist()
    assert ItemFields.from_table(ItemFields({}).to_table()).rows_of(LATER) == {}
