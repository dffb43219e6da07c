"""Erase users from everything below FACET_HOME, the landing area and the online store.

Landing goes first, so that an ingest after a killed run cannot bring anybody back, and the map of text ids
last, so that the same call can be made again. Every step finds what is left by looking, so running twice,
or after a kill at any moment, ends in the same place. Weights of models stay: see ``docs/erasing.md``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import structlog

from features.forget.curated import erase_lake
from features.forget.landed import erase_landing, erase_quarantine
from features.forget.models import erase_bundles, mark_unrepeatable, remove_checkpoints
from features.forget.online import erase_online
from features.forget.snapshots import note_sources, sources_now
from features.forget.tables import erase_tables, remove_drafts
from features.forget.traces import erase_reports, erase_texts, mask_logs
from features.forget.users import Users, find_users
from features.home_lock import own_home
from features.settings import Settings

log = structlog.get_logger(__name__)

RECORD: Final = "erasures.jsonl"
"""One line per erasure: when, how many users, what went. No id and no hash of one: see decision 0009."""
Step = Callable[[Users, Settings], int]
STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "landing": erase_landing,
        "quarantine": erase_quarantine,
        "drafts": lambda _, settings: remove_drafts(settings),
        "lake": erase_lake,
        "bundles": erase_bundles,
        "checkpoints": lambda _, settings: remove_checkpoints(settings),
        "tables": erase_tables,
        "online": erase_online,
        "reports": erase_reports,
        "logs": mask_logs,
        "texts": erase_texts,
    }
)


@dataclass(frozen=True, slots=True)
class Erased:
    """What went."""

    rows: dict[str, int]
    """By step: rows, or what the step counts."""
    unrepeatable: list[str]
    """Bundles that cannot be trained again from the same rows."""


def forget(users: Users, *, settings: Settings | None = None, steps: Mapping[str, Step] = STEPS) -> Erased:
    """Erase ``users`` and note it in ``erasures.jsonl``; safe to kill and to run again.

    Args:
        steps: all of them, but in tests.

    Raises:
        RetryLaterError: something is running that writes rows of users, or a store does not answer.
        BadInputError: a landing file cannot be read, so nobody knows whom it names.
    """
    settings = settings or Settings()
    with own_home(settings):
        before = sources_now(settings)
        rows = {}
        for name, step in steps.items():
            rows[name] = step(users, settings)
            log.info("erased", step=name, found=rows[name])
        unrepeatable = mark_unrepeatable(settings)
        note_sources(before, settings)
        facts = {"moment": datetime.now(UTC).isoformat(), "users": max(len(users.ids), len(users.texts))}
        with (settings.root / RECORD).open("a") as record:
            record.write(json.dumps(facts | {"found": rows, "unrepeatable": unrepeatable}) + "\n")
    return Erased(rows, unrepeatable)


__all__ = ["RECORD", "STEPS", "Erased", "Users", "find_users", "forget"]
