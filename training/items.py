"""What is known of the videos of a vocabulary: uploader and tags by row, for towers that read them.

Networks keep these as buffers, so that the exported program looks them up by video row by itself.

Shape letters: R rows (row 0 is padding), G most tags of one video.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.schema import PAD_ROW, TAG_IDS, UPLOADER_ID, VIDEO_ID
from features.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Items:
    """Rows of uploaders and tags per video row; 0 where there is none."""

    num_rows: int
    uploader_rows: Int64[np.ndarray, " R"]
    num_uploader_rows: int
    tag_rows: Int64[np.ndarray, "R G"]
    num_tag_rows: int

    @classmethod
    def of(cls, vocabulary: Vocabulary, videos: pa.Table) -> "Items":
        """Look the videos of ``vocabulary`` up in a snapshot; those that it lacks have nothing."""
        rows = vocabulary.rows_of(videos[VIDEO_ID].to_numpy())
        known = rows != PAD_ROW
        uploader_rows = np.zeros(vocabulary.num_rows, dtype=np.int64)
        uploader_rows[rows[known]], num_uploaders = _numbered(videos[UPLOADER_ID].filter(pa.array(known)))
        tags = videos[TAG_IDS].combine_chunks()
        owners = rows[pa.compute.list_parent_indices(tags).to_numpy()]
        values, num_tags = _numbered(tags.flatten())
        used = owners != PAD_ROW
        owners, values = owners[used], values[used]
        order = np.argsort(owners, kind="stable")
        owners, values = owners[order], values[order]
        counts = np.bincount(owners, minlength=vocabulary.num_rows)
        places = np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)
        tag_rows = np.zeros((vocabulary.num_rows, max(int(counts.max(initial=0)), 1)), dtype=np.int64)
        tag_rows[owners, places] = values
        return cls(vocabulary.num_rows, uploader_rows, num_uploaders + 1, tag_rows, num_tags + 1)


def _numbered(ids: pa.ChunkedArray | pa.Array) -> tuple[Int64[np.ndarray, " N"], int]:
    """Rows from 1 in the order of the ids, 0 for null; and how many there are."""
    distinct = np.unique(ids.drop_null().to_numpy())
    filled = ids.fill_null(-1).to_numpy()
    rows = np.searchsorted(distinct, filled) + 1
    return np.where(filled < 0, PAD_ROW, rows), len(distinct)
