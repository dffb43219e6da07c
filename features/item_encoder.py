"""Vectors of curated videos by the program of a bundle, also of videos that training never saw.

A video of the vocabulary gets its stored vector, to 1e-5. Another one gets what the network makes of its
uploader, tags and whatever else it reads; if that is nothing, zeros, which every interest scores 0: such a
video is no candidate yet.

Shape letters: N videos, G most values of one video in a field, D dimensions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from features.bundle import ITEM_ENCODER, Bundle
from features.item_fields import FieldName
from features.programs import open_program
from features.schema import VIDEO_ID
from features.trend import has_trend, trend_factors

VIDEO_ROWS: Final = "video_rows"
VECTORS: Final = "vectors"


def encode_videos(bundle: Bundle, videos: pa.Table) -> Float32[np.ndarray, "N D"]:
    """Vectors of curated ``videos``, in their order.

    Args:
        bundle: of the kind ``interests``.
    """
    rows = bundle.vocabulary.rows_of(videos[VIDEO_ID].to_numpy())
    vectors = run_encoder(bundle.path / ITEM_ENCODER, rows, bundle.item_fields.rows_of(videos))
    if not has_trend(bundle):
        return vectors
    factors = np.concatenate([[1.0], trend_factors(bundle)])  # a video without a row is watched as usual
    return np.column_stack([vectors, np.log(factors[rows])]).astype(np.float32)


def run_encoder(
    program: Path, rows: Int64[np.ndarray, " N"], fields: Mapping[FieldName, Int64[np.ndarray, "N _"]]
) -> Float32[np.ndarray, "N D"]:
    """What the item encoder at ``program`` gives for these rows, on one thread."""
    feed: dict[str, np.ndarray] = {VIDEO_ROWS: rows} | {str(name): part for name, part in fields.items()}
    (vectors,) = open_program(program).run([VECTORS], feed)
    return vectors
