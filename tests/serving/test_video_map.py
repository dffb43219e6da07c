"""The map of videos that a publish leaves behind, and that it may leave out."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.release import current_release, open_registry
from features.settings import Settings
from serving.publish import publish_release
from serving.settings import ServingSettings
from serving.video_map import draw_live_map, draw_map, map_path, read_map
from tests.serving.bundles import VECTORS, VIDEO_IDS, unit_vectors, write_interests

REPOSITORY = Path(__file__).parents[2]
FILE_LIMIT = 1000
"""Bytes; the map of 100 videos is larger."""
DRAWN_AND_KILLED = f"""
import resource, signal, sys
from pathlib import Path
from features.settings import Settings
from serving.video_map import draw_map
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_LIMIT}, {FILE_LIMIT}))
draw_map(Settings(home=Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture
def published_by_airflow(
    settings: Settings, milvus: ServingSettings, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings that a task of Airflow reads."""
    monkeypatch.setenv("FACET_HOME", str(settings.root))
    for name in ("milvus_uri", "publish_max_search_ms"):
        monkeypatch.setenv(f"FACET_{name.upper()}", str(getattr(milvus, name)))
    return settings


def success_of_map(settings: Settings) -> float:
    lines = (settings.metrics / "map.prom").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("facet_task_success")]
    return float(line.split()[1])


@pytest.mark.server
def test_a_publish_draws_the_map_once_and_goes_live_where_it_cannot(published_by_airflow: Settings) -> None:
    settings = published_by_airflow
    publish_release([str(write_interests(settings))])
    found = read_map(settings, "tiny/v1")
    assert found is not None
    assert sorted(found.video_ids.tolist()) == sorted(VIDEO_IDS.tolist())
    assert success_of_map(settings) == 1.0
    drawn = map_path(settings, "tiny/v1").stat().st_mtime_ns
    assert draw_live_map(settings) == map_path(settings, "tiny/v1")
    assert map_path(settings, "tiny/v1").stat().st_mtime_ns == drawn

    too_few = write_interests(settings, "v2", video_ids=VIDEO_IDS[:4], vectors=VECTORS[:4])
    version = publish_release([str(too_few)])
    live = current_release(open_registry(settings))
    assert live is not None
    assert (live.version, live.bundles["interests"]) == (version, "tiny/v2")
    assert read_map(settings, "tiny/v2") is None
    assert success_of_map(settings) == 0.0


def test_a_map_that_is_killed_while_it_is_written_is_not_there(settings: Settings) -> None:
    bundle = write_interests(settings, video_ids=np.arange(100), vectors=unit_vectors(100, 8))
    done = subprocess.run(
        [sys.executable, "-B", "-c", DRAWN_AND_KILLED, str(settings.root), str(bundle)],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == -signal.SIGXFSZ, done.stderr
    assert read_map(settings, "tiny/v1") is None
    draw_map(settings, bundle, max_videos=40)
    again = read_map(settings, "tiny/v1")
    assert again is not None
    assert again.video_ids.tolist() == list(range(40)), "the most popular ones"
