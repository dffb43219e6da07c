"""What is known of videos besides who watched them, for ``fresh`` and ``followed``, and weights made of it.

``fresh`` is a bundle of kind ``neighbours``: for every video that somebody watched, the chosen videos that it
speaks for. So it is served, fused, judged and listed offline as any other channel.

Shape letters: V curated videos, S videos of histories, C chosen videos.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse
from jaxtyping import Bool, Float, Int64

from features.bundle import NEIGHBOURS, NEIGHBOURS_KIND, NEIGHBOURS_SCHEMA, VOCABULARY
from features.lake import connect
from features.schema import IS_ONLINE, PUBLISHED_AT, SNAPSHOT_DAY, TAG_IDS, UPLOADER_ID, VIDEO_ID, VIDEOS
from features.top import best_of
from features.vocabulary import Vocabulary
from training.config import ModelConfig
from training.dataset import WHOLE_PAST, WatchLog
from training.models import Run, Trained

WEIGHTS_PER_BLOCK: Final = 1 << 23
"""64 MB at a time."""
SECONDS_PER_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Curated:
    """The newest curated videos before a moment, by id, and what happened to them."""

    log: WatchLog
    videos: pa.Table
    plays: Int64[np.ndarray, " V"]
    """Before the moment."""
    age_days: Float[np.ndarray, " V"]
    """Since the video was published, else since a snapshot first listed it; infinite if all of them do."""

    @classmethod
    def read(cls, config: ModelConfig, run: Run) -> "Curated":
        """What is known before ``run.until``."""
        log = WatchLog(run.lake, run.until, config.rule)
        videos = log.videos()
        ids, counts = np.unique(log.sequences(run.until, WHOLE_PAST).video_ids, return_counts=True)
        rows = Vocabulary(ids).rows_of(videos[VIDEO_ID].to_numpy())
        plays = np.concatenate([[0], counts])[rows]
        return cls(log, videos, plays, _ages(videos, run))

    @property
    def ids(self) -> Int64[np.ndarray, " V"]:
        """Of ``videos``."""
        return self.videos[VIDEO_ID].to_numpy()

    @property
    def is_online(self) -> Bool[np.ndarray, " V"]:
        """Whether each may be shown."""
        return self.videos[IS_ONLINE].to_numpy()

    def watched(self) -> Int64[np.ndarray, " S"]:
        """Places of the videos that somebody watched, the most played first."""
        order = np.argsort(-self.plays, kind="stable")
        return order[: np.count_nonzero(self.plays)]

    def vocabulary_of(self, chosen: Int64[np.ndarray, " C"]) -> Vocabulary:
        """The videos at the places ``chosen``, in this order, then the other watched ones."""
        watched = self.watched()
        return Vocabulary(self.ids[np.concatenate([chosen, watched[~np.isin(watched, chosen)]])])

    def uploaders(self) -> scipy.sparse.csr_array:
        """(V, uploaders): 1 for the video's own."""
        _, places = np.unique(self.videos[UPLOADER_ID].to_numpy(), return_inverse=True)
        shape = (len(places), int(places.max(initial=-1)) + 1)
        return scipy.sparse.csr_array((np.ones(len(places)), (np.arange(len(places)), places)), shape)

    def tags(self) -> scipy.sparse.csr_array:
        """(V, tags): the tags of each video, of length 1, so that products of rows are cosines."""
        lists = pc.fill_null(self.videos[TAG_IDS], pa.scalar([], pa.list_(pa.int64()))).combine_chunks()
        owners = pc.list_parent_indices(lists).to_numpy()
        _, places = np.unique(lists.flatten().to_numpy(), return_inverse=True)
        values = np.bincount(owners, minlength=len(lists))[owners] ** -0.5
        return scipy.sparse.csr_array(
            (values, (owners, places)), (len(lists), int(places.max(initial=-1)) + 1)
        )


def kin_pairs(
    curated: Curated,
    chosen: Int64[np.ndarray, " C"],
    weights_of: Callable[[Int64[np.ndarray, " S"]], Float[np.ndarray, "S C"]],
    num_neighbours: int,
) -> pa.Table:
    """The content of ``neighbours.parquet``: the chosen videos that each watched one speaks for most.

    Args:
        chosen: places in ``curated``, the one that wins a tie first.
        weights_of: how much each video at these places speaks for each of ``chosen``; at least 0.
    """
    watched, parts = curated.watched(), [NEIGHBOURS_SCHEMA.empty_table()]
    step = max(WEIGHTS_PER_BLOCK // max(len(chosen), 1), 1)
    for start in range(0, len(watched), step):
        places = watched[start : start + step]
        weights = np.where(places[:, None] == chosen, 0, weights_of(places))  # no video suggests itself
        best, values = best_of(np.where(weights > 0, weights, -np.inf), num_neighbours)
        kept = best >= 0
        sources, targets = np.repeat(places, kept.sum(axis=1)), chosen[best[kept]]
        columns = [curated.ids[sources], curated.ids[targets], values[kept].astype(np.float32)]
        parts.append(pa.table(columns, schema=NEIGHBOURS_SCHEMA))
    return pa.concat_tables(parts)


def trained_kin(curated: Curated, chosen: Int64[np.ndarray, " C"], pairs: pa.Table) -> Trained:
    """A ``neighbours`` bundle of ``pairs``, over the watched videos and the ``chosen`` ones."""
    vocabulary = curated.vocabulary_of(chosen)

    def write(folder: Path) -> None:
        pq.write_table(pairs, folder / NEIGHBOURS)
        pq.write_table(vocabulary.to_table(), folder / VOCABULARY)

    return Trained(NEIGHBOURS_KIND, curated.log.source(), num_videos=len(vocabulary), write_files=write)


def _ages(videos: pa.Table, run: Run) -> Float[np.ndarray, " V"]:
    until: datetime = run.until
    last_day = f"{until - timedelta(microseconds=1):%Y-%m-%d}"
    days = [day for day in run.lake.day_counts(VIDEOS) if day <= last_day]
    connection = connect()
    listed = run.lake.scan(connection, VIDEOS, days)
    seen = listed.aggregate(f"{VIDEO_ID}, epoch(min({SNAPSHOT_DAY})::DATE) AS first", VIDEO_ID).order(
        VIDEO_ID
    )
    firsts = seen.to_arrow_table()
    since = np.concatenate([[0.0], firsts["first"].to_numpy()])
    since = since[Vocabulary(firsts[VIDEO_ID].to_numpy()).rows_of(videos[VIDEO_ID].to_numpy())]
    since = np.where(
        since > since.min(initial=np.inf), since, -np.inf
    )  # the first snapshot lists old ones too
    published = pc.divide(pc.cast(videos[PUBLISHED_AT], pa.int64()).cast(pa.float64()), 1e6)
    moments = np.where(published.is_valid().to_numpy(), pc.fill_null(published, 0.0).to_numpy(), since)
    return (until.timestamp() - moments) / SECONDS_PER_DAY
