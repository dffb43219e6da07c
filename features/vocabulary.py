"""Video ids to rows of the embedding tables of one bundle. Rows start at 1; row 0 is padding or unknown.

Shape letters: V videos in the vocabulary; results have the shape of the argument.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.schema import PAD_ROW, VIDEO_ID

ROW = "row"


class Vocabulary:
    """The videos that a model knows; the order of ``video_ids`` gives the rows 1, 2, ...

    Args:
        video_ids: distinct ids, most frequent first (log-uniform samplers rely on it).
    """

    def __init__(self, video_ids: Int64[np.ndarray, " V"]) -> None:
        self.video_ids = video_ids
        self._order = np.argsort(video_ids, kind="stable")
        self._sorted = video_ids[self._order]
        if len(video_ids) > 1 and (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError("video_ids holds an id twice; each video has one row")

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def num_rows(self) -> int:
        """Rows of an embedding table, the padding row included."""
        return len(self.video_ids) + 1

    def rows_of(self, video_ids: Int64[np.ndarray, "*S"]) -> Int64[np.ndarray, "*S"]:
        """Rows of ids; ``PAD_ROW`` where the id is unknown."""
        if not len(self.video_ids):
            return np.full(video_ids.shape, PAD_ROW, dtype=np.int64)
        place = np.searchsorted(self._sorted, video_ids).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[place] == video_ids, self._order[place] + 1, PAD_ROW)

    def to_table(self) -> pa.Table:
        """``video_id, row``: the content of ``vocabulary.parquet``."""
        return pa.table({VIDEO_ID: self.video_ids, ROW: np.arange(1, self.num_rows, dtype=np.int64)})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Vocabulary":
        """The inverse of ``to_table``, for rows in any order."""
        order = np.argsort(table[ROW].to_numpy(), kind="stable")
        return cls(table[VIDEO_ID].to_numpy()[order])
