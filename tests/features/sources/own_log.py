"""A small log with text ids and its column map, and how tests import them."""

from datetime import UTC, datetime
from pathlib import Path

from features.settings import Settings
from features.sources.column_map import parse_column_map
from features.sources.columns import ImportReport, import_columns

NOON_MS = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
MAP = """
source = "app"
text_ids = true
[watches]
files = "plays*.csv"
[watches.columns]
user_id = "uid"
video_id = "clip"
event_time = { column = "ts", unit = "ms" }
watch_seconds = { column = "played", unit = "ms" }
liked = { column = "action", one_of = ["like", "superlike"] }
scene = { constant = "feed" }
[videos]
files = "videos.csv"
[videos.columns]
video_id = "clip"
uploader_id = "by"
tag_ids = { column = "topics", separator = "|" }
"""
PLAYS = f"""uid,clip,ts,played,action
zoe,v7,{NOON_MS},61802,superlike
ann,v9,{NOON_MS + 1},,skip
zoe,v9,{NOON_MS + DAY_MS},5,
"""
VIDEOS = """clip,by,topics
v9,chef,food| travel |food
v7,coach,
"""


USERS_MAP = """
source = "a"
[users]
snapshot_day = 2026-03-05
[users.columns]
user_id = "id"
profile = { tokens = ["gender", "is_*"] }
registered_at = { column = "since", timezone = "UTC" }
"""


def import_log(path: Path, text: str = MAP) -> tuple[Settings, ImportReport]:
    """Import ``path`` into a home beside it."""
    home = path.parent / "home" if path.is_dir() else path.parent.parent / "home"
    settings = Settings(home=home)
    return settings, import_columns(path, parse_column_map(text, "map.toml"), settings)


def known(rows: list[dict]) -> list[dict]:
    """The rows without their nulls."""
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def import_one(tmp_path: Path, content: str, text: str) -> tuple[Settings, ImportReport]:
    """Import one CSV file."""
    (tmp_path / "log").mkdir()
    path = tmp_path / "log" / "one.csv"
    path.write_text(content)
    return import_log(path, text)
