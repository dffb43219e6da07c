"""Rows of a bundle that goes: Feast deletes whole views only, so online rows are deleted by their keys."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pyarrow.parquet as pq
import redis
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from features.definitions import PROJECT
from features.schema import USER_ID
from features.settings import Settings
from features.snapshots import snapshot_path
from features.sql import identifier
from features.user_vectors import USER_ACTIVATION, USER_VECTORS, VERSION

KEY_VERSION: Final = 3
"""Feast's ``entity_key_serialization_version``, as in ``features/store.py``."""


def delete_bundle_rows(bundle: str, settings: Settings, client: redis.Redis | None) -> int:
    """Delete what ``FeatureStore`` wrote for the bundle ``<model>/<version>``; returns how many rows.

    Args:
        client: the Redis that is the online store; SQLite if ``None``.
    """
    deleted = 0
    for view in (USER_VECTORS, USER_ACTIVATION):
        exported = snapshot_path(settings, view, bundle.replace("/", "_"))
        if not exported.exists():
            continue
        keys = list(_keys(bundle, pq.read_table(exported, columns=[USER_ID])[USER_ID].to_pylist()))
        if client is None:
            _delete_from_sqlite(view, keys, settings)
        else:
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.delete(key + PROJECT.encode())
                pipe.execute()
        exported.unlink()  # last: a killed run deletes again
        deleted += len(keys)
    return deleted


def _keys(bundle: str, users: list[int]) -> Iterator[bytes]:
    for user_id in users:
        values = [Value(int64_val=user_id), Value(string_val=bundle)]
        yield serialize_entity_key(EntityKey(join_keys=[USER_ID, VERSION], entity_values=values), KEY_VERSION)


def _delete_from_sqlite(view: str, keys: list[bytes], settings: Settings) -> None:
    table = identifier(f"{PROJECT}_{view}")
    with closing(sqlite3.connect(settings.feast / "online.db", timeout=30)) as store, store:
        store.executemany(f"DELETE FROM {table} WHERE entity_key = ?", ((key,) for key in keys))
