"""Users out of kept bundles and out of training that was cut off; weights stay as they are."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from features.bundle import (
    ERASURE,
    MANIFEST,
    USER_FILES,
    USER_SUMS,
    Manifest,
    read_manifest,
    sha256,
    user_sums,
)
from features.forget.tables import without_users
from features.forget.users import Users
from features.lake import Lake
from features.settings import Settings
from features.stage import write_atomically, write_parquet

CHECKPOINTS: Final = "checkpoints"


def erase_bundles(users: Users, settings: Settings) -> int:
    """Remove the rows of ``users`` from every bundle; returns how many. Half-built bundles go as a whole."""
    for building in settings.bundles.glob("*/.building-*"):
        shutil.rmtree(building)
    return sum(
        _erase_file(users, path / name)
        for path in bundle_folders(settings)
        for name in sorted(USER_FILES)
        if (path / name).exists()
    )


def mark_unrepeatable(settings: Settings) -> list[str]:
    """Note in manifests that the table versions they name are gone; returns the bundles it holds for now.

    Whoever repeats such a training would train on something else.
    """
    lake, marked = Lake(settings), []
    for path in bundle_folders(settings):
        manifest = read_manifest(path)
        lost = [
            table
            for table, version in manifest.data.snapshots.items()
            if not lake.is_readable(table, version)
        ]
        if manifest.repeatable and lost:
            today = datetime.now(UTC).date()
            _write_manifest(path, manifest, repeatable=False, reason=ERASURE, since=today)
            marked.append(f"{manifest.model}/{manifest.version}")
    return marked


def remove_checkpoints(settings: Settings) -> int:
    """Delete the state of every training that did not end; run again, it begins anew. Returns how many."""
    found = [path for path in (settings.root / CHECKPOINTS).glob("*") if path.is_file()]
    for path in found:
        path.unlink()
    return len(found)


def bundle_folders(settings: Settings) -> list[Path]:
    """Folders of complete bundles."""
    return sorted(path.parent for path in settings.bundles.glob(f"[!.]*/[!.]*/{MANIFEST}"))


def _erase_file(users: Users, file: Path) -> int:
    """Both sums are accepted until the file is replaced, so a kill leaves a bundle that opens."""
    before = pq.read_table(file)
    kept = without_users(users, before)
    folder, name, old = file.parent, file.name, sha256(file)
    sums, manifest = user_sums(folder), read_manifest(folder)
    if kept.num_rows < before.num_rows:
        draft = file.with_name(f".{name}.erased")
        write_parquet(kept, draft)
        _write_sums(folder, sums | {name: [old, sha256(draft)]})
        if name in manifest.files:  # as bundles were written before
            listed = {other: value for other, value in manifest.files.items() if other != name}
            _write_manifest(folder, manifest, files=listed)
        draft.replace(file)
    if len(user_sums(folder).get(name, [])) > 1 or kept.num_rows < before.num_rows:
        _write_sums(folder, user_sums(folder) | {name: [sha256(file)]})
    return before.num_rows - kept.num_rows


def _write_sums(folder: Path, sums: dict[str, list[str]]) -> None:
    write_atomically(folder / USER_SUMS, json.dumps(sums, indent=2))


def _write_manifest(folder: Path, manifest: Manifest, **changes: object) -> None:
    changed = manifest.model_copy(update=changes)
    write_atomically(folder / MANIFEST, changed.model_dump_json(indent=2))
