"""A Redis with a password, over TLS: who has both gets in, and the password is shown nowhere."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr, ValidationError

from features.errors import StoreUnavailableError
from features.forget.online import erase_online
from features.forget.users import Users
from features.lineage import materialized
from features.materialize import materialize
from features.redis_address import connection_string, open_redis
from features.settings import Settings
from features.store import FeatureStore
from tests.features.landing_rows import DAY
from tests.features.test_redis import facts, home
from tests.features.test_store import pushed
from tests.redis_server import running_redis

__all__ = ["home"]

PASSWORD = '1e5,ssl="x"=y'
"""What Feast's own syntax would cut at the comma, or take for a number."""


@pytest.mark.parametrize(
    ("given", "address", "password"),
    [
        ("redis:6379", "redis:6379", None),
        ("redis:6379,ssl=true", "redis:6379,ssl=true", None),
        ("redis:6379,password=pw,db=2", "redis:6379,db=2", "pw"),
        ("redis:6379,password=a=b", "redis:6379", "a=b"),
    ],
)
def test_the_password_of_an_address_is_kept_apart(given: str, address: str, password: str | None) -> None:
    settings = Settings(redis=given)
    assert settings.redis == address
    assert (settings.redis_password and settings.redis_password.get_secret_value()) == password


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("redis", "must start with host:port"),
        (":6379,password=hidden", "must start with host:port"),
        ("redis:6379,password=hidden,tls=true", "option that is none of db, password"),
        ("redis:6379,password=hidden,more", "option that is none of"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_its_password(given: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as refused:
        Settings(redis=given)
    assert "hidden" not in str(refused.value)


def test_two_passwords_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match="keep one of them"):
        Settings(redis="redis:6379,password=pw", redis_password=SecretStr("other"))


def test_the_password_may_be_a_mounted_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path))
    (tmp_path / "facet_redis_password").write_text(f"{PASSWORD}\n")
    password = Settings(redis="redis:6379").redis_password
    assert password is not None
    assert password.get_secret_value() == PASSWORD


def test_feast_and_our_own_client_read_the_same_password_and_options() -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    text = connection_string("redis:6380,ssl=true,socket_timeout=1", SecretStr(PASSWORD))
    nodes, options = RedisOnlineStore._parse_connection_string(text)
    assert nodes == [{"host": "redis", "port": "6380"}]
    ours = open_redis("redis:6380,ssl=true,socket_timeout=1", SecretStr(PASSWORD))
    found = ours.connection_pool.connection_kwargs
    assert (found["host"], found["port"], found["password"]) == ("redis", 6380, PASSWORD)
    assert options["password"] == PASSWORD
    assert options["socket_timeout"] == found["socket_timeout"] == 1
    assert options["ssl"] is True
    assert ours.connection_pool.connection_class is redis.SSLConnection


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """Address of a Redis that listens on TLS only and wants ``PASSWORD``."""
    from serving.standalone import free_ports

    [port] = free_ports(1)
    key, certificate = tmp_path / "redis.key", tmp_path / "redis.crt"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=redis"]
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", *made, *alternative, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    options = ["--port", "0", "--tls-port", str(port)]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-auth-clients", "no", "--requirepass", PASSWORD]
    address = f"127.0.0.1:{port},ssl=true,ssl_ca_certs={certificate}"
    with running_redis(tmp_path, open_redis(address, SecretStr(PASSWORD)), options):
        yield address


@pytest.mark.server
def test_features_go_through_a_locked_redis_and_the_password_is_shown_nowhere(
    home: Settings, locked: str, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = [facts(FeatureStore(home).lookup(user)) for user in range(4)]
    settings = Settings(home=home.home, redis=locked, redis_password=SecretStr(PASSWORD))
    materialize([DAY], settings=settings)
    store = FeatureStore(settings)
    assert [facts(store.lookup(user)) for user in range(4)] == expected
    store.push({1: [pushed(0)]})  # holds a lock of our own client
    assert erase_online(Users(frozenset({1})), settings) > 0
    assert store.lookup(1) is None
    printed = "".join(capfd.readouterr())
    shown = [repr(settings), str(materialized(DAY, settings)), printed]
    assert not [text for text in shown if PASSWORD in text or "u002c" in text]
    assert (settings.feast / "feature_store.yaml").stat().st_mode & 0o777 == 0o600

    other = Settings(home=home.home, redis=locked, redis_password=SecretStr("wrong"))
    with pytest.raises(StoreUnavailableError) as refused:
        FeatureStore(other).lookup(2)
    assert "look-up of user 2 failed" in str(refused.value)
    assert "wrong" not in str(refused.value)
