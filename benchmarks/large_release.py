"""A home with an invented release of any size: videos in clusters, as trained vectors lie, and users.

The extractor is Facet's own network, exported but not trained: its table holds the invented vectors. Users
watched videos of three clusters each. Channels: ``interests``, ``popular`` and, for a merge of several,
``cooc`` (neighbours).

Shape letters: V videos, D dimensions.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float32

from features.bundle import (
    INTERESTS_KIND,
    NEIGHBOURS,
    NEIGHBOURS_KIND,
    NEIGHBOURS_SCHEMA,
    RANKING,
    RANKING_KIND,
    RANKING_SCHEMA,
    VOCABULARY,
    DataSource,
    Manifest,
    write_bundle,
)
from features.days import end_of
from features.item_fields import ItemFields
from features.positives import Action, PositiveRule
from features.schema import ACTIONS, EVENT_TIMES, SCHEMAS, TIMESTAMP, USER_ID, VIDEO_ID, VIDEO_IDS, VIDEOS
from features.settings import Settings
from features.snapshots import AS_OF, KEY_OF, SEEN_PACKED, USER_HISTORY, USER_SEEN, VIEWS, snapshot_path
from features.stage import write_atomically, write_parquet
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.export import write_interest_files
from training.items import Items
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork

DAY: Final = "2026-03-21"
DIM: Final = 64
NUM_INTERESTS: Final = 4
HISTORY_LENGTH: Final = 50
WATCHES: Final = 100
CLUSTER_SIZE: Final = 500
SPREAD: Final = 0.7
"""Length of the noise around the unit vector of a cluster: cosines within one are about 0.67."""
NEIGHBOURS_EACH: Final = 20


class LargeRelease:
    """The invented videos, and the bundles over them.

    Args:
        num_videos: V.
    """

    def __init__(self, settings: Settings, num_videos: int) -> None:
        self._settings = settings
        self.video_ids = np.random.default_rng(1).permutation(2 * num_videos)[:num_videos].astype(np.int64)
        num_clusters = max(num_videos // CLUSTER_SIZE, 4)
        self.cluster_of = np.random.default_rng(2).integers(0, num_clusters, num_videos)
        self.vectors = self._vectors(num_clusters)

    def _vectors(self, num_clusters: int) -> Float32[np.ndarray, "V D"]:
        random = np.random.default_rng(3)
        centres = _unit(random.normal(size=(num_clusters, DIM)).astype(np.float32))
        noise = random.standard_normal((len(self.cluster_of), DIM), dtype=np.float32) * (SPREAD / DIM**0.5)
        return _unit(centres[self.cluster_of] + noise)

    def write_interests(self) -> Path:
        """The bundle of kind ``interests``."""
        config = SingleActivationConfig(dim=DIM, num_interests=NUM_INTERESTS, history_length=HISTORY_LENGTH)
        torch.manual_seed(0)
        network = SingleActivationNetwork(Items(len(self.vectors) + 1, {}), config).eval()
        with torch.no_grad():
            network.items.ids.weight[1:] = torch.from_numpy(self.vectors)
            network.differences.weight.zero_()
        manifest = self._manifest(INTERESTS_KIND, "invented").model_copy(
            update={"num_interests": NUM_INTERESTS, "dim": DIM, "history_length": HISTORY_LENGTH}
        )
        nobody = ActivationRecord(np.empty(0, dtype=np.int64), NUM_INTERESTS, 2.0)
        return write_bundle(
            self._settings.bundles,
            manifest,
            lambda folder: write_interest_files(
                folder,
                network,
                Vocabulary(self.video_ids),
                self._videos(),
                nobody,
                fields=ItemFields({}),
                history_length=HISTORY_LENGTH,
            ),
        )

    def write_popular(self) -> Path:
        """The bundle of kind ``ranking``: the first 2,000 videos."""
        ids = self.video_ids[:2_000]
        ranks = np.arange(len(ids))
        table = pa.table([pa.nulls(len(ids), pa.string()), ranks, ids, 1.0 / (1 + ranks)], RANKING_SCHEMA)
        manifest = self._manifest(RANKING_KIND, "popularity")
        return write_bundle(
            self._settings.bundles, manifest, lambda folder: pq.write_table(table, folder / RANKING)
        )

    def write_neighbours(self) -> Path:
        """The bundle of kind ``neighbours``: other videos of the same cluster."""
        order = np.argsort(self.cluster_of, kind="stable")
        source = np.repeat(self.video_ids[order], NEIGHBOURS_EACH)
        steps = np.tile(np.arange(1, NEIGHBOURS_EACH + 1), len(order))
        target = self.video_ids[
            order[(np.repeat(np.arange(len(order)), NEIGHBOURS_EACH) + steps) % len(order)]
        ]
        table = pa.table([source, target, (1.0 / steps).astype(np.float32)], NEIGHBOURS_SCHEMA)

        def write_files(folder: Path) -> None:
            pq.write_table(table, folder / NEIGHBOURS)
            pq.write_table(Vocabulary(self.video_ids).to_table(), folder / VOCABULARY)

        manifest = self._manifest(NEIGHBOURS_KIND, "cooc").model_copy(
            update={"config": {"plain_weight": 0.5}}
        )
        return write_bundle(self._settings.bundles, manifest, write_files)

    def write_users(self, num_users: int) -> None:
        """Histories and seen videos, into the snapshots and the online store."""
        from features.store import FeatureStore

        random = np.random.default_rng(4)
        by_cluster = np.argsort(self.cluster_of, kind="stable")
        starts = np.searchsorted(self.cluster_of[by_cluster], np.arange(self.cluster_of.max() + 2))
        newest = int(end_of(DAY).timestamp() * 1e6)
        columns: dict[str, list] = {USER_ID: list(range(num_users)), VIDEO_IDS: [], SEEN_PACKED: []}
        for _ in range(num_users):
            clusters = random.integers(0, self.cluster_of.max() + 1, 3)
            own = random.choice(clusters, WATCHES, p=(0.5, 0.3, 0.2))
            places = by_cluster[starts[own] + random.integers(0, starts[own + 1] - starts[own])]
            watched = self.video_ids[places]
            columns[VIDEO_IDS].append(watched.tolist())
            columns[SEEN_PACKED].append(np.unique(watched).astype("<i8").tobytes())
        columns[EVENT_TIMES] = [[newest - 3_600_000_000 * i for i in range(WATCHES, 0, -1)]] * num_users
        columns[ACTIONS] = [[int(Action.POSITIVE)] * WATCHES] * num_users
        columns[AS_OF] = [end_of(DAY)] * num_users
        store = FeatureStore(self._settings)
        store.apply()
        names = {USER_HISTORY: [VIDEO_IDS, EVENT_TIMES, ACTIONS], USER_SEEN: [SEEN_PACKED]}
        types = {SEEN_PACKED: pa.binary(), ACTIONS: pa.list_(pa.int32()), AS_OF: TIMESTAMP}
        for view in VIEWS:
            rows = {KEY_OF[view]: pa.array([], pa.int64())}
            if view in names:
                wanted = [USER_ID, *names[view], AS_OF]
                rows = {name: pa.array(columns[name], types.get(name)) for name in wanted}
                store.write_rows(view, pa.table(rows))
            write_parquet(pa.table(rows), snapshot_path(self._settings, view, DAY))
        write_atomically(self._settings.feast / "online.json", f'{{"until": "{end_of(DAY).isoformat()}"}}')

    def _videos(self) -> pa.Table:
        schema = SCHEMAS[VIDEOS]
        known = {
            VIDEO_ID: pa.array(self.video_ids),
            "uploader_id": pa.array(self.video_ids % 5_000),
            "tag_ids": pa.array(np.stack([self.cluster_of, self.cluster_of % 97], axis=1).tolist()),
            "category": pa.array([f"c{each}" for each in (self.cluster_of % 30).tolist()]),
            "duration_seconds": pa.array(5.0 + self.video_ids % 60),
        }
        return pa.table(
            {field.name: known.get(field.name, pa.nulls(len(self.video_ids), field.type)) for field in schema}
        )

    def _manifest(self, kind: str, model: str) -> Manifest:
        moment = end_of(DAY)
        source = DataSource(
            until=moment,
            snapshots={},
            first_day=DAY,
            last_day=DAY,
            num_watches=0,
            num_positives=0,
            num_users=0,
        )
        return Manifest(
            kind=kind,  # type: ignore[arg-type]
            model=model,
            version="v1",
            created_at=datetime.now(UTC),
            code_commit="benchmark",
            config={},
            rule=PositiveRule(),
            data=source,
            num_videos=len(self.video_ids),
        )


def _unit(vectors: Float32[np.ndarray, "V D"]) -> Float32[np.ndarray, "V D"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
