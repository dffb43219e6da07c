"""Which landing files the lake holds: one manifest per landing day, ``<lake>/_landing/<day>.json``.

``commit`` writes it last. A file is read again only if its stamp differs, if it is new, or if the rules that
it was read by have changed since. A file that is gone says nothing: landing areas are cleared now and then.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from features.landing import TABLES, Landing
from features.rules import judged_sql
from features.schema import WATCHES
from features.settings import Settings
from features.stage import write_atomically

FOLDER: Final = "_landing"
Change = Literal["new", "changed", "removed"]


class Manifest(BaseModel):
    """The files of one landing day, as they were when their rows were committed."""

    model_config = ConfigDict(frozen=True)

    rules: str
    """Which rules they were read by, see ``rules_key``."""
    files: dict[str, str]
    """Name to stamp, see ``LandingFile``."""

    @classmethod
    def read(cls, settings: Settings, day: str) -> "Manifest | None":
        """The manifest of ``day``, or ``None`` if nothing of it was ever committed."""
        path = _path(settings, day)
        return cls.model_validate_json(path.read_text()) if path.exists() else None

    def write(self, settings: Settings, day: str) -> None:
        """Replace the manifest of ``day``."""
        write_atomically(_path(settings, day), self.model_dump_json(indent=1))

    def changes(self, stamps: dict[str, str]) -> dict[str, Change]:
        """How the files of the day differ from those that were committed, by name."""
        found: dict[str, Change] = {name: "removed" for name in self.files.keys() - stamps.keys()}
        for name, stamp in stamps.items():
            if name not in self.files:
                found[name] = "new"
            elif self.files[name] != stamp:
                found[name] = "changed"
        return dict(sorted(found.items()))


def pending_days(settings: Settings) -> list[str]:
    """Landing days with watches that have new or changed files, or were read by other rules; oldest first."""
    landing = Landing(settings)
    return [day for day in landing.days() if _is_pending(settings, landing, day)]


def late_days(settings: Settings | None = None) -> list[str]:
    """Days of ``pending_days`` that were committed before: something arrived late or was changed since."""
    settings = settings or Settings()
    return [day for day in pending_days(settings) if Manifest.read(settings, day) is not None]


def landed_days(settings: Settings | None = None) -> list[str]:
    """Days that are complete in landing and were never committed, oldest first."""
    settings = settings or Settings()
    landing = Landing(settings)
    new = [day for day in pending_days(settings) if Manifest.read(settings, day) is None]
    return [day for day in new if landing.is_complete(day)]


def rules_key() -> str:
    """Changes with the columns, types and rules that landing files are read by."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    text = "".join(judged_sql(table, moment, "rows") for table in TABLES)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_pending(settings: Settings, landing: Landing, day: str) -> bool:
    stamps = landing.stamps(day)
    if not any(name.startswith(f"{WATCHES}/") for name in stamps):
        return False
    manifest = Manifest.read(settings, day)
    if manifest is None or manifest.rules != rules_key():
        return True
    return bool({"new", "changed"} & set(manifest.changes(stamps).values()))


def _path(settings: Settings, day: str) -> Path:
    return settings.lake / FOLDER / f"{day}.json"
