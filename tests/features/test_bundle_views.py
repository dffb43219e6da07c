"""What the store serves beside histories: affinities, follows, rows of a bundle; and nothing too old."""

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bundle import (
    ACTIVATION,
    ACTIVATION_SCHEMA,
    EXTRACTOR,
    ITEM_ENCODER,
    USER_INTERESTS,
    Bundle,
    open_bundle,
    write_bundle,
)
from features.days import end_of
from features.errors import StoreUnavailableError
from features.ingest import ingest
from features.materialize import materialize
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from features.store import FeatureStore
from features.user_vectors import pack_user_vectors
from tests.features.landing_rows import DAY, land, video, watch
from tests.features.test_bundle import manifest, write_interests

END = end_of(DAY)
BUNDLE = "toy/v1"


def at(days: float) -> Callable[[], datetime]:
    return lambda: END + timedelta(days=days)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """User 1 likes videos of uploader 10 and follows 11, then 10; user 2 follows nobody."""
    settings = Settings(home=tmp_path_factory.mktemp("facet") / "home")
    land(settings, VIDEOS, [video(i, uploader_id=10 + i % 2, tag_ids=[i % 2, 7]) for i in range(6)])
    rows = [
        watch("a", 13, video_id=0, long_watch=True),
        watch("b", 14, video_id=1, long_watch=False, followed=True),
        watch("c", 15, video_id=2, long_watch=True, followed=True),
        watch("d", 16, video_id=4, long_watch=True, followed=True),
        watch("e", 17, video_id=3, user_id=2, long_watch=True),
    ]
    land(settings, WATCHES, rows)
    ingest([DAY], settings=settings)
    materialize([DAY], settings=settings)
    return settings


@pytest.fixture(scope="module")
def bundle(home: Settings) -> Bundle:
    """With an activation record of user 1 alone, and its rows written."""
    record = pa.table([[1, 1], [0, 1], [2.5, 0.5]], ACTIVATION_SCHEMA.names).cast(ACTIVATION_SCHEMA)

    def write(folder: Path) -> None:
        write_interests(folder)
        pq.write_table(record, folder / ACTIVATION)

    opened = open_bundle(write_bundle(home.bundles, manifest(created_at=END), write))
    FeatureStore(home).register_bundle(opened)
    return opened


def test_affinities_are_sorted_lists_of_the_strongest(home: Settings) -> None:
    store = FeatureStore(home, clock=at(1))
    [first, second, nobody] = store.read("user_uploader_affinity", [1, 2, 99])
    # Positives: 3 of user 1 on uploader 10, 1 of user 2 on 11; with the prior of 10 at everybody's shares
    # (3 and 1 of 4): (3 + 10 * 3/4) / (3 + 10), and (0 + 10 * 1/4) / 13.
    assert list(first["uploader_ids"]) == [10, 11]
    assert first["uploader_shares"] == pytest.approx([10.5 / 13, 2.5 / 13])
    assert list(second["uploader_ids"]) == [11]
    assert nobody["uploader_ids"] is None
    [tags] = store.read("user_tag_affinity", [1])
    assert list(tags["tag_ids"]) == [7, 0, 1], "every video has tag 7"


def test_follows_are_uploaders_newest_last(home: Settings) -> None:
    first, second = FeatureStore(home).read("user_follows", [1, 2])
    assert list(first["followed_uploader_ids"]) == [11, 10]
    assert second["followed_uploader_ids"] is None


@pytest.mark.parametrize(
    ("view", "column", "days"),
    [("user_stats", "plays_1d", 3), ("user_tag_affinity", "tag_ids", 30), ("user_follows", None, None)],
)
def test_a_value_is_served_until_its_time_to_live_ends(
    home: Settings, view: str, column: str | None, days: float | None
) -> None:
    key = [2] if days else [1]

    def served(after: float) -> bool:
        [row] = FeatureStore(home, clock=at(after)).read(view, key)
        return row[column or "followed_uploader_ids"] is not None

    if days is None:
        assert served(10_000), "valid for ever"
    else:
        assert served(days - 0.01)
        assert not served(days + 0.01), "Feast itself would still serve it"


def test_a_look_up_for_a_bundle_reads_the_rows_of_that_bundle_only(home: Settings, bundle: Bundle) -> None:
    store = FeatureStore(home, clock=at(1))
    vectors = [np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)]
    weights = [np.array([0.75, 0.25], np.float32)]
    store.write_user_vectors("toy/other", pack_user_vectors(np.array([1]), vectors, weights), END)
    first, second = store.lookup(1, BUNDLE), store.lookup(2, BUNDLE)
    assert first is not None
    assert second is not None
    assert first.activation is not None
    assert first.activation.tolist() == [2.5, 0.5]
    assert first.vectors is None, "those of another bundle"
    assert list(first.history.video_ids) == [0, 1, 2, 4]
    assert second.activation is None
    plain = store.lookup(1)
    assert plain is not None
    assert plain.activation is None


def test_stored_interests_of_a_bundle_are_served_for_a_month(home: Settings) -> None:
    rows = pack_user_vectors(
        np.array([1]), [np.eye(2, dtype=np.float32)], [np.array([0.75, 0.25], np.float32)]
    )

    def write(folder: Path) -> None:
        write_interests(folder)
        for name in (ACTIVATION, EXTRACTOR, ITEM_ENCODER):
            (folder / name).unlink()
        pq.write_table(rows, folder / USER_INTERESTS)

    stored = manifest("stored_interests", version="stored")
    until = stored.data.until
    FeatureStore(home).register_bundle(open_bundle(write_bundle(home.bundles, stored, write)))
    found = FeatureStore(home, clock=lambda: until + timedelta(days=29)).lookup(1, "toy/stored")
    late = FeatureStore(home, clock=lambda: until + timedelta(days=31)).lookup(1, "toy/stored")
    assert found is not None
    assert found.vectors is not None
    assert found.vectors.vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert found.vectors.weights.tolist() == [0.75, 0.25]
    assert late is not None
    assert late.vectors is None
    assert list(late.history.video_ids) == [0, 1, 2, 4], "so interests can be computed from the history"


def test_a_service_names_exactly_what_its_bundle_reads(home: Settings, bundle: Bundle) -> None:
    service = FeatureStore(home)._service("recall_toy_v1")
    views = {view.name for view in service.feature_view_projections}
    assert views == {
        "user_history",
        "user_seen",
        "user_profile",
        "user_follows",
        "user_recent",
        "user_shown",
        "user_activation",
    }
    assert set(service.tags) == views | {"bundle", "kind"}, "with the version of each view"


def test_a_bundle_that_is_not_registered_is_named(home: Settings) -> None:
    with pytest.raises(StoreUnavailableError, match="no feature service recall_toy_v9"):
        FeatureStore(home).lookup(1, "toy/v9")


def test_materialize_deletes_service_and_rows_of_a_lost_bundle(home: Settings, bundle: Bundle) -> None:
    store = FeatureStore(home)
    assert BUNDLE in store.registered_bundles()
    bundle.path.rename(bundle.path.with_name(".gone"))
    materialize([DAY], settings=home)
    assert BUNDLE not in FeatureStore(home).registered_bundles()
    with sqlite3.connect(home.feast / "online.db") as online:
        assert online.execute("SELECT count(*) FROM facet_user_activation").fetchone() == (0,)
