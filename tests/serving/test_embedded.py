"""The Milvus Lite child: started where nothing answers, gone afterwards, whatever happens to its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from features.settings import Settings
from serving.embedded import is_listening, milvus_server
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
        [sys.executable, "-c", PARENT, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert any(line.strip() == b"up" for line in parent.stdout)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while is_listening(serving_settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_listening(serving_settings)


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
    assert not (settings.root / "milvus").exists()
