"""Collections of a few videos for tests of indexes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.bundle import Manifest, vectors_of
from features.live_items import VectorTable
from features.schema import VIDEO_ID
from serving.collection import build_collection, collection_name
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from serving.settings import ServingSettings


@dataclass(frozen=True)
class Videos:
    """A ``VectorTable`` without a bundle."""

    manifest: Manifest
    items: pa.Table

    @property
    def vectors(self) -> np.ndarray:
        return vectors_of(self.items)

    @property
    def video_ids(self) -> np.ndarray:
        return self.items[VIDEO_ID].to_numpy()


def milvus_index(server: ServingSettings, videos: VectorTable, timeout_seconds: float = 60.0) -> MilvusIndex:
    """A collection of these videos, built and opened."""
    connection = MilvusConnection(server)
    build_collection(connection, videos, timeout_seconds=60.0)
    return MilvusIndex(connection, collection_name(videos.manifest), timeout_seconds=timeout_seconds)
