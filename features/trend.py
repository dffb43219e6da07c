"""The trend of a bundle's videos, in a file of its own: a factor on the score of each.

``trend.parquet`` holds ``video_id, factor``. In bundles with vectors the last coordinate of a video is the
log of its factor, so the index applies it; in neighbours it is in the weights. Whoever has newer counts of
plays can put newer factors in without training: ``training/refresh.py``.

Shape letters: V videos, D dimensions.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64

from features.bundle import TREND, Bundle
from features.schema import VIDEO_ID

FACTOR: Final = "factor"


def write_trend(folder: Path, video_ids: Int64[np.ndarray, " V"], factors: Float[np.ndarray, " V"]) -> None:
    """Write the file."""
    table = pa.table({VIDEO_ID: video_ids, FACTOR: factors.astype(np.float64)})
    pq.write_table(table, folder / TREND)


def has_trend(bundle: Bundle) -> bool:
    """Whether the bundle has factors."""
    return (bundle.path / TREND).exists()


def trend_factors(bundle: Bundle) -> Float[np.ndarray, " V"]:
    """Factors in the order of the vocabulary."""
    table = pq.read_table(bundle.path / TREND)
    factors = np.ones(len(bundle.vocabulary) + 1)
    factors[bundle.vocabulary.rows_of(table[VIDEO_ID].to_numpy())] = table[FACTOR].to_numpy()
    return factors[1:]
