"""What the steps of the data plane read and write, as datasets: the names that lineage events carry.

Names follow https://openlineage.io/docs/spec/naming: what lies in files has the namespace ``file`` and its
absolute path, what lies in a store the address of the store. A version is a file's stamp, a table's Delta
version, a day of features or the version of a bundle.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from features.bundle import Manifest, open_bundle
from features.lake import Lake
from features.materialize import newest_day
from features.release import current_release, open_registry
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import VIEWS
from features.stage import Stage

LOCAL: Final = "file"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One thing that is read or written."""

    namespace: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What one step read and wrote."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def staged(folder: str, settings: Settings) -> Lineage:
    """Of ``stage``: the landing files that were read, the tables that were built upon, and the stage."""
    stage = Stage.open(Path(folder))
    stamps = {name: stamp for files in stage.files.values() for name, stamp in files.items()}
    landing = tuple(_landed(name, stamp, settings) for name, stamp in sorted(stamps.items()))
    tables = {part.table for part in stage.partitions if part.base_files}
    return Lineage(landing + _tables(tables, settings), (_local(Path(folder)),))


def validated(folder: str, settings: Settings) -> Lineage:
    """Of ``validate``: the stage; it writes nothing but its verdict."""
    return Lineage((_local(Path(folder)),))


def committed(newest: str, settings: Settings) -> Lineage:
    """Of ``commit``: the newest versions of the curated tables. Another commit may have followed already."""
    return Lineage((_local(settings.staging),), _tables((WATCHES, VIDEOS, USERS), settings))


def materialized(newest: str, settings: Settings) -> Lineage:
    """Of ``materialize``: the curated tables, the snapshots of every view up to the day, the online store."""
    day = newest_day(settings=settings) or newest
    offline = settings.feast / "offline"
    views = tuple(_local(offline / view, day) for view in VIEWS)
    online = f"redis://{settings.redis.partition(',')[0]}" if settings.redis else LOCAL
    store = Dataset(online, "recall" if settings.redis else str(settings.feast / "online.db"), day)
    return Lineage(_tables((WATCHES, VIDEOS, USERS), settings), (*views, store))


def trained(path: str, settings: Settings) -> Lineage:
    """Of ``train``: the table versions in the bundle's manifest, and the bundle."""
    manifest: Manifest = open_bundle(Path(path)).manifest
    tables = [_local(settings.lake / table, str(v)) for table, v in sorted(manifest.data.snapshots.items())]
    return Lineage(tuple(tables), (_local(Path(path), manifest.version),))


def replayed(path: str, settings: Settings) -> Lineage:
    """Of ``replay``: what its bundle was trained from, the bundle, and the day's report."""
    bundle = json.loads(Path(path).read_text())["bundle"]
    training = trained(bundle, settings)
    return Lineage(training.inputs, (*training.outputs, _local(Path(path))))


def published(version: str, settings: Settings) -> Lineage:
    """Of ``publish``: the bundles of the live release, and the collections that were built from them."""
    release = current_release(open_registry(settings))
    if release is None:
        return Lineage()
    bundles = tuple(_local(settings.bundles / name) for name in sorted(release.bundles.values()))
    collections = sorted(set(release.collections.values()))
    return Lineage(bundles, tuple(Dataset("milvus", name, release.version) for name in collections))


STEPS: Final[Mapping[str, Callable[[str, Settings], Lineage]]] = MappingProxyType(
    {
        step.__name__: step
        for step in (staged, validated, committed, materialized, trained, replayed, published)
    }
)
"""By the name that a DAG's task gives."""


def _local(path: Path, version: str | None = None) -> Dataset:
    return Dataset(LOCAL, str(path.absolute()), version)


def _landed(name: str, stamp: str, settings: Settings) -> Dataset:
    if settings.landing_uri:
        return Dataset(settings.landing_uri, name, stamp)
    return _local(settings.landing / name, stamp)


def _tables(names: Iterable[str], settings: Settings) -> tuple[Dataset, ...]:
    lake = Lake(settings)
    present = sorted(name for name in names if lake.has(name))
    return tuple(_local(settings.lake / name, str(lake.snapshot(name))) for name in present)
