"""The Milvus servers that the tests of serving share: Milvus Lite and a real one."""

from collections.abc import Iterator

import pytest

from features.settings import Settings
from serving.embedded import milvus_server
from serving.milvus import MilvusConnection
from serving.settings import ServingSettings
from serving.standalone import free_ports, standalone_milvus


def free_port() -> int:
    return free_ports(1)[0]


def slow_machine(port: int) -> ServingSettings:
    """Deadlines that a busy machine can hold, so that only tests about deadlines meet them."""
    return ServingSettings(
        milvus_uri=f"http://127.0.0.1:{port}",
        features_timeout_ms=20_000,
        search_timeout_ms=20_000,
        publish_max_search_ms=20_000.0,
    )


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingSettings]:
    """One real Milvus Lite server for the whole run."""
    serving_settings = slow_machine(free_port())
    with milvus_server(serving_settings, Settings(home=tmp_path_factory.mktemp("milvus"))):
        yield serving_settings


@pytest.fixture(scope="session")
def milvus_standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingSettings]:
    """One real Milvus for the whole run."""
    with standalone_milvus(tmp_path_factory.mktemp("standalone")) as server:
        yield slow_machine(server.port)


def emptied(server: ServingSettings) -> ServingSettings:
    """The server without any collection."""
    with MilvusConnection(server).translating("emptying") as client:
        for name in client.list_collections():
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)
    return server


@pytest.fixture
def milvus(milvus_lite: ServingSettings) -> ServingSettings:
    """Milvus Lite without any collection."""
    return emptied(milvus_lite)


@pytest.fixture
def real_milvus(milvus_standalone: ServingSettings) -> ServingSettings:
    """The real Milvus without any collection."""
    return emptied(milvus_standalone)
