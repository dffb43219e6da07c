"""Feast's objects for bundles: views keyed by user and bundle, and one feature service per bundle.

A service names exactly the views that a look-up for its bundle reads; its tags hold the bundle and a digest
of each of these views' columns and time to live, so that a service tells what it was registered for.
"""

import hashlib
from datetime import timedelta
from typing import Final

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Bytes, Int64, String

from features.bundle import INTERESTS_KIND, RANKING_KIND, STORED_INTERESTS_KIND, Manifest
from features.definitions import ENTITIES, FOREVER, TTL_OF, source_of
from features.schema import USER_ID
from features.settings import Settings
from features.snapshots import (
    USER_FOLLOWS,
    USER_HISTORY,
    USER_PROFILE,
    USER_RECENT,
    USER_SEEN,
    USER_SHOWN,
)
from features.user_vectors import (
    ACTIVATION_PACKED,
    USER_ACTIVATION,
    USER_VECTORS,
    VECTORS_PACKED,
    VERSION,
    WEIGHTS_PACKED,
)

PREFIX: Final = "recall_"
BUNDLE_ENTITY: Final = Entity(name="bundle", join_keys=[VERSION], value_type=ValueType.STRING)
BUNDLE_SCHEMA_OF: Final = {
    USER_VECTORS: [
        Field(name=VECTORS_PACKED, dtype=Bytes, description="interests of the user, (K, D) float32"),
        Field(name=WEIGHTS_PACKED, dtype=Bytes, description="of each interest, (K,) float32"),
    ],
    USER_ACTIVATION: [
        Field(name=ACTIVATION_PACKED, dtype=Bytes, description="faded number of targets won, (K,) float32")
    ],
}
BUNDLE_TTL_OF: Final = {USER_VECTORS: timedelta(days=30), USER_ACTIVATION: FOREVER}
"""Stored interests of a month ago say little; then the history counts. A record is part of its bundle."""
OF_EVERY_USER: Final = (USER_SEEN, USER_PROFILE, USER_FOLLOWS, USER_RECENT, USER_SHOWN)
MORE_OF: Final = {
    INTERESTS_KIND: (USER_HISTORY, USER_ACTIVATION),
    STORED_INTERESTS_KIND: (USER_HISTORY, USER_VECTORS),
    RANKING_KIND: (),
}
"""What else bundles of a kind read, if not the history alone. Stored interests age, the history does not."""


def bundle_views(settings: Settings) -> list[FeatureView]:
    """Views whose rows belong to a bundle."""
    return [
        FeatureView(
            name=name,
            entities=[ENTITIES[USER_ID], BUNDLE_ENTITY],
            ttl=BUNDLE_TTL_OF[name],
            schema=[Field(name=USER_ID, dtype=Int64), Field(name=VERSION, dtype=String), *schema],
            source=source_of(settings, name),
            online=True,
        )
        for name, schema in BUNDLE_SCHEMA_OF.items()
    ]


def bundle_name(manifest: Manifest) -> str:
    """``<model>/<version>``, the key of a bundle's rows."""
    return f"{manifest.model}/{manifest.version}"


def service_name(bundle: str) -> str:
    """Name of the feature service of the bundle ``<model>/<version>``."""
    return PREFIX + bundle.replace("/", "_")


def bundle_service(manifest: Manifest, views: list[FeatureView]) -> FeatureService:
    """What a look-up for this bundle reads, out of all ``views``."""
    names = (*OF_EVERY_USER, *MORE_OF.get(manifest.kind, (USER_HISTORY,)))
    chosen = [view for view in views if view.name in names]
    tags = {"bundle": bundle_name(manifest), "kind": manifest.kind}
    tags |= {view.name: view_digest(view) for view in chosen}
    return FeatureService(name=service_name(bundle_name(manifest)), features=list(chosen), tags=tags)


def view_digest(view: FeatureView) -> str:
    """The version of a view: another one has other columns, keys or another time to live."""
    columns = sorted(f"{field.name}:{field.dtype}" for field in view.schema)
    return hashlib.sha256(f"{columns} {sorted(view.entities)} {view.ttl}".encode()).hexdigest()[:8]


def ttl_of(view: str) -> timedelta:
    """How long after its time a row of any view may be served; 0: for ever."""
    return BUNDLE_TTL_OF[view] if view in BUNDLE_TTL_OF else TTL_OF[view]
