"""A map of a bundle's videos: two coordinates each, near where their vectors are. Drawn once, kept as a file.

A publish draws the map of what it made live; one that cannot be drawn, or is killed, leaves no file and does
not fail the publish.

t-SNE (van der Maaten and Hinton, JMLR 2008) by scikit-learn, over the most popular videos. Distances mean
something only nearby, and nothing reads the map but people.

Shape letters: S videos on the map, N any videos, D dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from jaxtyping import Float, Float32, Int64

from features.bundle import Bundle, open_bundle
from features.errors import BadInputError, FacetError
from features.merge_config import INTERESTS
from features.release import current_release, open_registry
from features.schema import VIDEO_ID
from features.settings import Settings
from features.stage import write_parquet
from features.task_metrics import recorded
from features.trend import has_trend
from serving.errors import NoReleaseError

log = structlog.get_logger(__name__)

MAX_VIDEOS: Final = 2000
"""As many as a browser draws without effort, and what bounds the time: see docs/serving.md."""
MIN_VIDEOS: Final = 5
PERPLEXITY: Final = 30.0
"""The default of scikit-learn; few videos get a third of their number."""
NUM_NEIGHBOURS: Final = 5
X, Y = "x", "y"


@dataclass(frozen=True, slots=True)
class VideoMap:
    """Where videos lie."""

    video_ids: Int64[np.ndarray, " S"]
    places: Float[np.ndarray, "S 2"]

    def place(
        self, vectors: Float32[np.ndarray, "N D"], of_map: Float32[np.ndarray, "S D"]
    ) -> Float[np.ndarray, "N 2"]:
        """Places for any vectors: the median of those of the videos nearest to each.

        Args:
            vectors: of length 1, as ``of_map``, those of ``video_ids``.
        """
        last = min(NUM_NEIGHBOURS, len(of_map)) - 1
        nearest = np.argpartition(-(vectors @ of_map.T), last, axis=1)[:, :NUM_NEIGHBOURS]
        return np.median(self.places[nearest], axis=1)


def map_path(settings: Settings, bundle: str) -> Path:
    """Where the map of ``<model>/<version>`` lies."""
    return settings.root / "maps" / f"{bundle}.parquet"


def read_map(settings: Settings, bundle: str) -> VideoMap | None:
    """The map of ``<model>/<version>``, or ``None`` where nobody drew it."""
    try:
        table = pq.read_table(map_path(settings, bundle))
    except FileNotFoundError:
        return None
    return VideoMap(table[VIDEO_ID].to_numpy(), np.column_stack([table[X].to_numpy(), table[Y].to_numpy()]))


def draw_live_map(settings: Settings) -> Path | None:
    """The map of the live release, drawn if it is not there; ``None`` and a log entry where that fails.

    What came of it is in the metrics as task ``map``.
    """
    try:
        return _draw_missing(settings=settings)
    except (FacetError, OSError, ValueError) as error:  # scikit-learn raises the last of vectors with NaN
        log.error("map not drawn; `facet map` tries again", error=str(error))
        return None


def draw_map(settings: Settings, bundle: Path | None = None, *, max_videos: int = MAX_VIDEOS) -> Path:
    """Draw the map of a bundle with vectors, of the live release by default; the same bundle, the same map.

    Args:
        max_videos: the most popular ones; what bounds the time.

    Raises:
        NoReleaseError: nothing is published, and no bundle is named.
        BadInputError: the bundle has no vectors, or too few.
    """
    if bundle is None:
        release = current_release(open_registry(settings))
        if release is None:
            raise NoReleaseError("no release is live yet; run `facet publish BUNDLE` first, or name a bundle")
        bundle = release.bundle_path(settings, INTERESTS)
    opened = open_bundle(bundle)
    if not opened.manifest.dim:
        raise BadInputError(f"bundle {bundle} of kind {opened.manifest.kind!r} has no vectors to draw")
    video_ids, vectors = _popular(opened, max_videos)
    if len(video_ids) < MIN_VIDEOS:
        raise BadInputError(f"bundle {bundle} has {len(video_ids)} videos; a map needs {MIN_VIDEOS}")
    places = _embed(vectors)
    table = pa.table({VIDEO_ID: video_ids, X: places[:, 0], Y: places[:, 1]})
    path = map_path(settings, opened.name)
    write_parquet(table, path)
    _remove_orphans(settings)
    log.info("map drawn", bundle=opened.name, videos=len(video_ids), path=str(path))
    return path


@recorded("map")
def _draw_missing(*, settings: Settings) -> Path:
    release = current_release(open_registry(settings))
    path = map_path(settings, release.bundles[INTERESTS]) if release else None
    return path if path and path.exists() else draw_map(settings)


def _popular(bundle: Bundle, max_videos: int) -> tuple[Int64[np.ndarray, " S"], Float32[np.ndarray, "S D"]]:
    """Vocabularies are sorted by popularity; the trend says nothing of what a video is like."""
    vectors = bundle.vectors[:max_videos, : -1 if has_trend(bundle) else None]
    return bundle.video_ids[:max_videos], vectors


def _embed(vectors: Float32[np.ndarray, "S D"]) -> Float[np.ndarray, "S 2"]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=0, n_jobs=1)
    return np.asarray(tsne.fit_transform(vectors), dtype=np.float64)


def _remove_orphans(settings: Settings) -> None:
    """Maps of bundles that are gone."""
    root = settings.root / "maps"
    for path in root.rglob("*.parquet"):
        if not (settings.bundles / path.relative_to(root).with_suffix("")).is_dir():
            path.unlink()
