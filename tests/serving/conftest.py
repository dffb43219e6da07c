"""The Milvus Lite server that the tests of serving share."""

import socket
from collections.abc import Iterator

import pytest

from features.settings import Settings
from serving.embedded import milvus_server
from serving.milvus import MilvusConnection
from serving.settings import ServingSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def slow_machine(port: int) -> ServingSettings:
    """Deadlines that a busy machine can hold, so that only tests about deadlines meet them."""
    return ServingSettings(
        milvus_uri=f"http://127.0.0.1:{port}", features_timeout_ms=20_000, search_timeout_ms=20_000
    )


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingSettings]:
    """One real Milvus Lite server for the whole run."""
    serving_settings = slow_machine(free_port())
    with milvus_server(serving_settings, Settings(home=tmp_path_factory.mktemp("milvus"))):
        yield serving_settings


@pytest.fixture
def milvus(milvus_lite: ServingSettings) -> ServingSettings:
    """The server without any collection."""
    with MilvusConnection(milvus_lite).translating("emptying") as client:
        for name in client.list_collections():
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)
    return milvus_lite
