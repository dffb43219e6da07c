"""Rows per second of ``facet publish`` against the bare inserts, index and load of the same vectors.

    make bench NAME=publish
    python -m benchmarks.publish --videos 1000000

Both into the real Milvus of ``make milvus``, over invented videos (``large_release.py``). Bare is pymilvus:
inserts of ids and vectors alone in batches as large as those of publish, flush, the same index, load. Publish
also stores the attributes, verifies, registers the bundle and flips: ``steps`` are its seconds.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.large_release import LargeRelease
from benchmarks.report import report
from features.bundle import open_bundle
from features.schema import VECTOR, VIDEO_ID
from features.settings import Settings
from serving.collection import INSERT_ROWS, index_parameters
from serving.publish import publish
from serving.settings import ServingSettings
from serving.standalone import standalone_milvus

BARE = "bare"


def bare(uri: str, video_ids: np.ndarray, vectors: np.ndarray) -> float:
    """Seconds."""
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(uri, timeout=600)
    schema = client.create_schema(auto_id=False)
    schema.add_field(VIDEO_ID, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    started = time.perf_counter()
    client.create_collection(BARE, schema=schema)
    for start in range(0, len(video_ids), INSERT_ROWS):
        ids, part = video_ids[start : start + INSERT_ROWS].tolist(), vectors[start : start + INSERT_ROWS]
        rows = [{VIDEO_ID: own, VECTOR: vector} for own, vector in zip(ids, part, strict=True)]
        client.insert(BARE, rows)
    client.flush(BARE)
    index = client.prepare_index_params()
    index.add_index(VECTOR, **index_parameters(len(video_ids)))
    client.create_index(BARE, index, timeout=600)
    client.load_collection(BARE, timeout=600)
    seconds = time.perf_counter() - started
    client.drop_collection(BARE)
    return seconds


def ours(settings: Settings, bundles: list[Path], uri: str) -> dict[str, float]:
    """Seconds up to each step, and until the end."""
    started, steps = time.perf_counter(), dict[str, float]()

    def on_step(step: str) -> None:
        steps[step] = round(time.perf_counter() - started, 2)

    publish(bundles, settings=settings, serving_settings=ServingSettings(milvus_uri=uri), on_step=on_step)
    return steps


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as name, standalone_milvus(Path(name) / "milvus") as milvus:
        settings = Settings(home=Path(name) / "home")
        large = LargeRelease(settings, options.videos)
        bundles = [large.write_interests(), large.write_popular()]
        large.write_users(options.users)
        bundle = open_bundle(bundles[0])
        theirs = bare(milvus.uri, bundle.video_ids, bundle.vectors)
        steps = ours(settings, bundles, milvus.uri)
    result: dict[str, Any] = {
        "reference": "bare inserts, flush, index and load by pymilvus",
        "ratio": theirs / steps["finished"],
        "ours": options.videos / steps["finished"],
        "theirs": options.videos / theirs,
        "unit": f"videos per second, {options.videos} videos, 64-d",
        "cases": [{"bare_seconds": round(theirs, 2), "steps": steps}],
    }
    report("publish", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=200)
    main(parser.parse_args())
