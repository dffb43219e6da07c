"""Users out of what was written about them: stored validation runs, logs, and the map of text ids."""

import json
import re
from pathlib import Path
from typing import Any, Final

from features.forget.landed import TABLES_OF_USERS
from features.forget.users import Users, sources_of_ids
from features.schema import USER_ID
from features.settings import Settings
from features.sources.id_map import USER, IdMap
from features.stage import write_atomically
from features.validation.page import write_page

LOGS: Final = ("logs/**/*", "airflow/logs/**/*", "reports/data_docs/**/*.html")


def erase_reports(users: Users, settings: Settings) -> int:
    """Drop example rows that name ``users`` from stored validation runs; returns of how many results."""
    erased = 0
    for path in sorted((settings.reports / "validation" / "runs").glob("*.json")):
        run = json.loads(path.read_text())
        shown = [result for result in run["results"] if _may_show(users, result)]
        for result in shown:
            result["examples"] = []
        if shown:
            write_atomically(path, json.dumps(run, indent=1))
        erased += len(shown)
    if (settings.reports / "validation" / "index.html").exists():
        write_page(settings)
    return erased


def mask_logs(users: Users, settings: Settings) -> int:
    """Overwrite ids of ``users`` beside the word user with ``*``; returns how often. Files stay in place.

    Processes go on writing into the same files.
    """
    words = "|".join(re.escape(token) for token in users.tokens)
    pattern = re.compile(rf"user(?:_id)?[\\\"'=: ]{{1,8}}({words})(?![0-9A-Za-z_])".encode())
    masked = 0
    for glob in LOGS:
        for path in sorted(settings.root.glob(glob)):
            if path.is_file() and not path.is_symlink():
                masked += _mask(path, pattern)
    return masked


def erase_texts(users: Users, settings: Settings) -> int:
    """Replace what sources called ``users``; returns how many texts."""
    return sum(IdMap(settings, source).erase(USER, users.ids) for source in sources_of_ids(settings))


def _may_show(users: Users, result: dict[str, Any]) -> bool:
    """Examples without a column of users may be about anybody."""
    examples = result["examples"]
    unknown = result["table"] in TABLES_OF_USERS and any(USER_ID not in row for row in examples)
    return unknown or any(str(row.get(USER_ID)) in {str(i) for i in users.ids} for row in examples)


def _mask(path: Path, pattern: re.Pattern[bytes]) -> int:
    found = [match.span(1) for match in pattern.finditer(path.read_bytes())]
    if found:
        with path.open("r+b") as file:
            for start, end in found:
                file.seek(start)
                file.write(b"*" * (end - start))
    return len(found)
