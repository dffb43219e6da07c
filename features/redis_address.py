"""The address of the Redis that is the online store, as Feast writes it: ``host:port,option=value,...``.

The password is kept apart from it, so that no log, error or file name holds it.
"""

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

if TYPE_CHECKING:
    import redis

PASSWORD: Final = "password"
OPTIONS: Final = frozenset(
    {"db", "username", "ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
    | {"ssl_check_hostname", "socket_connect_timeout", "socket_timeout"}
)
PATIENCE: Final = "socket_connect_timeout=2,socket_timeout=5"
"""Seconds; without any, a look-up whose packets are lost waits for ever and keeps its thread."""


def split_password(text: str) -> tuple[str, str | None]:
    """The address without its password, and the password.

    Raises:
        ValueError: the text is no address; it is not shown, since it may hold a password.
    """
    place, *options = text.split(",")
    host, _, port = place.partition(":")
    if not host or not port.isdecimal():
        raise ValueError("FACET_REDIS must start with host:port, such as redis:6379 or redis:6379,ssl=true")
    passwords = [option.partition("=")[2] for option in options if option.startswith(f"{PASSWORD}=")]
    kept = [option for option in options if not option.startswith(f"{PASSWORD}=")]
    for option in kept:
        if option.partition("=")[0] not in OPTIONS or not option.partition("=")[2]:
            raise ValueError(
                f"FACET_REDIS has an option that is none of {', '.join(sorted({PASSWORD, *OPTIONS}))}; write "
                "option=value, and a password that holds a comma into FACET_REDIS_PASSWORD"
            )
    return ",".join([place, *kept]), passwords[0] if passwords else None


def connection_string(address: str, password: SecretStr | None) -> str:
    """What Feast takes: the address with timeouts (its own win) and the password."""
    place, *options = address.split(",")
    parts = [place, PATIENCE, *options]
    if password is not None:
        # Feast cuts at commas and reads values as JSON: bare, 1e5 would become a number.
        quoted = json.dumps(password.get_secret_value()).replace(",", "\\u002c")
        parts.append(f"{PASSWORD}={quoted}")
    return ",".join(parts)


def open_redis(address: str, password: SecretStr | None) -> "redis.Redis":
    """A client of the same server, for what Feast has no call for."""
    import redis

    place, *options = connection_string(address, password).split(",")
    host, _, port = place.partition(":")
    return redis.Redis(host, int(port), **{name: _value(text) for name, text in map(_halves, options)})


def _halves(option: str) -> tuple[str, str]:
    name, _, text = option.partition("=")
    return name, text


def _value(text: str) -> Any:  # noqa: ANN401 - whatever JSON says, as Feast reads it
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
