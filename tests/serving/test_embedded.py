"""The Milvus Lite child: started where nothing answers, gone afterwards, whatever happens to its parent."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from features.settings import Settings
from serving.embedded import LOOK_SECONDS, is_listening, kept_milvus, milvus_server
from serving.errors import IndexUnavailableError
from serving.milvus import MilvusConnection
from serving.settings import ServingSettings
from tests.serving.conftest import free_port, slow_machine

REPOSITORY = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from features.settings import Settings
from serving.embedded import milvus_server
from serving.settings import ServingSettings
with milvus_server(ServingSettings(milvus_uri=sys.argv[1]), Settings(home=Path(sys.argv[2]))):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.server
def test_it_ends_with_the_block_and_keeps_its_data(settings: Settings) -> None:
    serving_settings = slow_machine(free_port())
    connection = MilvusConnection(serving_settings)
    with milvus_server(serving_settings, settings), connection.translating("creating") as client:
        client.create_collection("kept", dimension=2)
        client.insert("kept", [{"id": 1, "vector": [1.0, 0.0]}])
    assert not is_listening(serving_settings)
    connection = MilvusConnection(serving_settings)
    with milvus_server(serving_settings, settings), connection.translating("reading") as client:
        client.load_collection("kept")
        assert [row["id"] for row in client.get("kept", ids=[1], output_fields=["id"])] == [1]


@pytest.mark.server
def test_a_server_that_already_answers_is_used_and_left_alone(
    settings: Settings, milvus_lite: ServingSettings
) -> None:
    with milvus_server(milvus_lite, settings) as uri:
        assert uri == milvus_lite.milvus_uri
    assert is_listening(milvus_lite)
    assert not (settings.root / "milvus").exists()


@pytest.mark.server
def test_it_dies_with_a_killed_parent(settings: Settings) -> None:
    serving_settings = slow_machine(free_port())
    arguments = [serving_settings.milvus_uri, str(settings.root)]
    parent = subprocess.Popen(
        # As a script does it for what it starts in the background.
        ["bash", "-c", 'trap "" INT; exec "$@"', "bash", sys.executable, "-c", PARENT, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert any(line.strip() == b"up" for line in parent.stdout)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_listening(serving_settings))


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.server
def test_of_processes_that_stay_one_runs_it_and_another_takes_over(settings: Settings) -> None:
    serving_settings, log_file = slow_machine(free_port()), settings.root / "logs" / "milvus.log"
    (settings.root / "milvus").mkdir(parents=True)
    with ExitStack() as one, ExitStack() as other:
        with (settings.root / "milvus" / "LOCK").open("wb") as lock:  # somebody else begins at the same time
            fcntl.flock(lock, fcntl.LOCK_EX)
            one.enter_context(kept_milvus(serving_settings, settings))
            wait_until(lambda: log_file.exists() and "DataDirLockedError" in log_file.read_text())
        wait_until(lambda: is_listening(serving_settings))
        other.enter_context(kept_milvus(serving_settings, settings))
        one.close()
        assert not is_listening(serving_settings)
        wait_until(lambda: is_listening(serving_settings))
    assert not is_listening(serving_settings)


def test_a_port_that_was_not_ours_is_not_taken_while_its_milvus_starts_again(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        serving_settings = slow_machine(theirs.getsockname()[1])
        kept = kept_milvus(serving_settings, settings)
        kept.__enter__()
    time.sleep(2 * LOOK_SECONDS)
    kept.__exit__(None, None, None)
    assert not (settings.root / "milvus").exists()


@pytest.mark.parametrize(
    "remote",
    [
        ServingSettings(milvus_uri="http://milvus.invalid:19530"),
        ServingSettings(milvus_uri=f"http://127.0.0.1:{free_port()}", milvus_token="user:password"),
    ],
    ids=["another machine", "with credentials"],
)
def test_a_milvus_that_is_not_ours_is_never_replaced(settings: Settings, remote: ServingSettings) -> None:
    server = milvus_server(remote, settings)
    with pytest.raises(IndexUnavailableError, match="start it or correct FACET_MILVUS_URI"):
        server.__enter__()
    with kept_milvus(remote, settings):
        time.sleep(0.1)
    assert not (settings.root / "milvus").exists()
