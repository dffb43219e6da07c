"""Users out of the online store: every row whose entity key holds one of them, in SQLite or Redis.

Keys are those of Feast, version 3: the number of names, the names, then the values, each as type, length
and bytes (little-endian). They are read here without Feast: what a key says of a user does not depend on
the views that exist now. The ledger of what is online (``features/online.py``) loses the same users: a row
that it knows and that is gone would count as lost.
"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import duckdb
import filelock
import redis

from features.errors import RetryLaterError, StoreUnavailableError
from features.forget.users import Users
from features.redis_address import open_redis
from features.schema import USER_ID
from features.settings import Settings
from features.snapshots import KEY_OF
from features.sql import identifier, literal

SQLITE: Final = "online.db"
PUSH_SECONDS: Final = 30
"""As pushes do, see ``features/store.py``: nobody may write back what was read before."""
BATCH_KEYS: Final = 10_000


def erase_online(users: Users, settings: Settings) -> int:
    """Delete the rows of ``users``; returns how many rows (SQLite) or entities (Redis) there were.

    Raises:
        StoreUnavailableError: the store does not answer, or somebody holds it; run again.
    """
    if not users.ids:
        return 0
    erased = 0
    try:
        if (settings.feast / SQLITE).exists():
            with filelock.FileLock(settings.feast / ".push.lock", timeout=PUSH_SECONDS):
                erased += _erase_sqlite(users, settings.feast / SQLITE)
        if settings.redis:
            erased += _erase_redis(users, open_redis(settings.redis, settings.redis_password))
    except (sqlite3.Error, redis.RedisError, filelock.Timeout) as error:
        raise StoreUnavailableError(f"the online store could not be rewritten: {error}; run again") from error
    for path in sorted(settings.feast.glob("*.duckdb")):
        _erase_ledger(users, path)
    return erased


def user_of(key: bytes) -> int | None:
    """The user in an entity key; ``None`` if it is about something else, or no key at all."""
    try:
        (num_names,), place = struct.unpack_from("<I", key), 4
        names = []
        for _ in range(num_names):
            _, length = struct.unpack_from("<2I", key, place)
            names.append(key[place + 8 : place + 8 + length])
            place += 8 + length
        for name in names:
            _, length = struct.unpack_from("<2I", key, place)
            value = key[place + 8 : place + 8 + length]
            if name == USER_ID.encode():
                return int.from_bytes(value, "little", signed=True)
            place += 8 + length
    except struct.error:
        return None
    return None


def _erase_sqlite(users: Users, path: Path) -> int:
    """Also the bytes go: freed pages are overwritten, and the file is written again."""
    with closing(sqlite3.connect(path, timeout=PUSH_SECONDS, isolation_level=None)) as store:
        store.execute("PRAGMA secure_delete = ON")
        tables = store.execute("SELECT m.name FROM sqlite_master m WHERE m.type = 'table'").fetchall()
        erased = 0
        for (table,) in tables:
            columns = [name for _, name, *_ in store.execute(f"PRAGMA table_info({identifier(table)})")]
            if "entity_key" not in columns:
                continue
            name = identifier(table)
            keys = store.execute(f"SELECT DISTINCT entity_key FROM {name}").fetchall()
            own = [key for key in keys if user_of(key[0]) in users.ids]
            store.executemany(f"DELETE FROM {name} WHERE entity_key = ?", own)
            erased += len(own)
        store.execute("VACUUM")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return erased


def _erase_redis(users: Users, client: redis.Redis) -> int:
    erased = 0
    with client.lock("facet:push", timeout=PUSH_SECONDS, blocking_timeout=PUSH_SECONDS):
        for key in _keys(client):
            if user_of(key) in users.ids:
                client.delete(key)
                erased += 1
    return erased


def _keys(client: redis.Redis) -> Iterator[bytes]:
    yield from client.scan_iter(match=f"*{USER_ID}*", count=BATCH_KEYS)


def _erase_ledger(users: Users, path: Path) -> None:
    """The file is written anew: DuckDB keeps freed blocks."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    tables = [f"view_{view}" for view, key in KEY_OF.items() if key == USER_ID]
    try:
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH {literal(str(path))} AS old")
            for (table,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'old' AND "
                "list_contains($tables, table_name)",
                {"tables": tables},
            ).fetchall():
                connection.execute(f"DELETE FROM old.{identifier(table)} WHERE {users.own_sql('id')}")
            connection.execute(f"ATTACH {literal(str(draft))} AS new")
            connection.execute("COPY FROM DATABASE old TO new")
    except duckdb.IOException as error:
        raise RetryLaterError(f"{path} is in use: {error}; run again") from error
    draft.replace(path)
