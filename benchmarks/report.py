"""Where every benchmark leaves its figures."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from features.settings import Settings


def report(name: str, figures: Mapping[str, Any], *, shown: bool = True) -> None:
    """Write ``FACET_HOME/bench/<name>.json``, with the machine and the moment, and print it.

    Args:
        shown: false where the benchmark has printed its figures already.
    """
    machine = f"{platform.platform()}, {os.cpu_count()} cores"
    facts = {
        "name": name,
        **figures,
        "machine": machine,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(facts, indent=1) + "\n"
    place = Settings().root / "bench" / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    sys.stdout.write(text if shown else f"written to {place}\n")
