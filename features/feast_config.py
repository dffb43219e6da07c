"""How Feast is set up for one FACET_HOME: registry, offline store, online store."""

from typing import Any

from features.bundle_rows import KEY_VERSION
from features.definitions import PROJECT
from features.redis_address import connection_string
from features.settings import Settings


def store_config(settings: Settings) -> dict[str, Any]:
    """What ``feature_store.yaml`` says of one FACET_HOME."""
    online: dict[str, Any] = {"type": "sqlite", "path": str(settings.feast / "online.db")}
    if settings.redis:
        # Without its own check, Redis would keep a row of the same moment when a snapshot was mended.
        address = connection_string(settings.redis, settings.redis_password)
        online = {"type": "redis", "connection_string": address, "skip_dedup": True}
    registry: str | dict[str, Any] = str(settings.feast / "registry.db")
    if settings.database_url:  # shared by machines; a file would be overwritten by whoever applies last
        registry = {"registry_type": "sql", "path": settings.database_url, "cache_ttl_seconds": 60}
    return {
        "project": PROJECT,
        "provider": "local",
        "registry": registry,
        "offline_store": _offline(settings),
        "online_store": online,
        "entity_key_serialization_version": KEY_VERSION,
    }


def _offline(settings: Settings) -> dict[str, Any]:
    if settings.offline_store == "duckdb":
        return {"type": "duckdb"}
    master = settings.aggregates.spark_master
    conf = {"spark.master": master, "spark.sql.session.timeZone": "UTC", "spark.ui.enabled": "false"}
    if master.startswith("local"):
        conf["spark.sql.shuffle.partitions"] = "8"  # 200, the default, is for clusters
    return {"type": "spark", "spark_conf": conf}
