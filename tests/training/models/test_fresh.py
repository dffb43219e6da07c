"""Fresh: which videos are new, and which watches speak for them; all weights worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from features.bundle import Bundle, open_bundle
from features.errors import BadInputError
from features.lake import curated_schema
from features.schema import VIDEOS
from features.settings import Settings
from tests.serving.bundles import write_interests
from tests.training.logs import at, video, watch, write_log
from training.dataset import WatchLog
from training.gate import judge
from training.models.fresh import FreshConfig
from training.ranked import Past
from training.ranking import open_ranker
from training.run import train
from training.settings import TrainingSettings

UNTIL = at(10)
OLD = [
    video(1, 5, uploader_id=7, published_at=at(-30)),
    video(2, 6, uploader_id=8, published_at=at(-30)),
    video(3, uploader_id=9, published_at=at(-30)),
]
NEW = [
    video(11, 5, uploader_id=7, published_at=at(9)),
    video(12, 5, 6, uploader_id=50, published_at=at(8)),
    video(13, uploader_id=8, published_at=at(4)),
    video(14, 5, uploader_id=7, published_at=at(9), is_online=False),
    video(15, 5, uploader_id=7, published_at=at(2)),
]
"""14 is offline, 15 eight days old."""
WATCHES = [watch(1, 1, 1), watch(1, 3, 2), watch(2, 2, 1), watch(2, 1, 2, False), watch(3, 3, 3)]


def trained(settings: Settings, *overrides: str) -> Bundle:
    training = TrainingSettings(mlflow_uri="off")
    path = train(
        "fresh", UNTIL, settings=settings, overrides=overrides, show_progress=False, training=training
    )
    return open_bundle(path)


def weights(bundle: Bundle) -> dict[tuple[int, int], float]:
    return {(row["video_id"], row["neighbour_id"]): row["weight"] for row in bundle.neighbours.to_pylist()}


def test_watched_videos_speak_for_new_ones_of_their_uploader_and_tags(settings: Settings) -> None:
    write_log(settings, WATCHES, OLD + NEW)
    found = weights(trained(settings))
    # 12 has two tags of which each neighbour has one: cosine 1 / sqrt(2), of total weight 2.
    half_cosine = pytest.approx(0.5 / np.sqrt(2))
    assert found == {(1, 11): 1.0, (1, 12): half_cosine, (2, 12): half_cosine, (2, 13): 0.5}


def test_a_user_gets_new_videos_by_affinity_and_a_stranger_none(settings: Settings) -> None:
    lake = write_log(settings, WATCHES, OLD + NEW)
    bundle = trained(settings)
    past = Past.read(WatchLog(lake, UNTIL, bundle.manifest.rule), UNTIL)
    lists = open_ranker(bundle).find(past, np.array([1, 2, 3, 99]), 3)
    # User 2: 13 .5, 12 .5 / sqrt(2) * (1 + .3), 11 .3 * 1.
    assert lists.video_ids.tolist() == [[11, 12, -1], [13, 12, 11], [-1] * 3, [-1] * 3]


def test_a_video_with_many_plays_is_left_to_others(settings: Settings) -> None:
    write_log(settings, [*WATCHES, watch(4, 11, 9.5), watch(5, 11, 9.6)], OLD + NEW)
    assert (1, 11) in weights(trained(settings, "max_plays=3"))
    assert (1, 11) not in weights(trained(settings, "max_plays=2"))


def test_without_a_moment_of_publishing_the_first_snapshot_that_lists_it_counts(settings: Settings) -> None:
    listed = [*OLD, video(20, 5, uploader_id=7)]
    lake = write_log(settings, WATCHES, listed)
    later = {"snapshot_day": "2026-03-09", "landing_day": "2026-03-09"}
    rows = [row | later for row in [*listed, video(21, 5, uploader_id=7)]]
    lake.write_day(VIDEOS, "2026-03-09", pa.Table.from_pylist(rows, schema=curated_schema(VIDEOS)))
    found = weights(trained(settings, "new_days=30"))
    assert {target for _, target in found} == {21}, "20 was in the first snapshot and may be of any age"


def test_a_log_without_new_videos_gives_a_bundle_that_finds_nothing(settings: Settings) -> None:
    write_log(settings, WATCHES, OLD)
    assert weights(trained(settings)) == {}


def test_vectors_of_an_item_encoder_go_before_uploader_and_tags(settings: Settings) -> None:
    write_log(settings, WATCHES, OLD + NEW)
    write_interests(settings, has_fields=True)  # uploader 7 points along one axis, 8 along the other
    found = weights(trained(settings, "vectors=tiny"))
    half_cosine = pytest.approx(0.5 / np.sqrt(2))  # 12 has no vector: its uploader is not known
    between = pytest.approx(np.sqrt(0.5))  # uploader 9 points to both
    assert found == {
        (1, 11): 1.0,
        (1, 12): half_cosine,
        (2, 12): half_cosine,
        (2, 13): 1.0,
        (3, 11): between,
        (3, 13): between,
    }
    assert weights(trained(settings, "vectors=tiny/v1")) == found


def test_vectors_of_no_bundle_are_refused(settings: Settings) -> None:
    write_log(settings, WATCHES, OLD + NEW)
    with pytest.raises(BadInputError, match="vectors=mind names no bundle with an item encoder"):
        trained(settings, "vectors=mind")


def test_something_must_count() -> None:
    with pytest.raises(ValidationError, match="one at least must count"):
        FreshConfig(uploader_weight=0.0, tag_weight=0.0)


def test_the_gate_asks_that_it_is_sane_and_compares_it_with_nothing(settings: Settings) -> None:
    write_log(settings, [*WATCHES, watch(1, 11, 10.5), watch(2, 3, 10.5)], OLD + NEW)
    verdict = judge(trained(settings).path, None, UNTIL, at(11), settings=settings)
    assert (verdict.passed, verdict.reference) == (True, {})
