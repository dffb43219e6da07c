"""A home with one user in every place where a user can be, beside users who stay."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.aggregates.store import Aggregates
from features.bundle import ACTIVATION, MANIFEST, USER_SUMS, open_bundle, sha256, user_sums
from features.config import ValidationConfig
from features.forget import Users, find_users
from features.ingest import ingest, stage
from features.lake import Lake
from features.materialize import materialize
from features.quarantine import export_rows, replay
from features.recent import RecentWatch
from features.schema import EXPOSURES, USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.sources.column_map import load_column_map
from features.sources.columns import import_columns
from features.store import FeatureStore
from features.validation import check_days
from features.validation.page import write_page
from tests.features.landing_rows import land, user, video, watch
from tests.serving.bundles import write_interests

MARKER = 987_654_321_012_345
NAMED = "marker.person@example.org"
STAYS = "somebody.else@example.org"
MONDAY, TUESDAY = "2026-03-02", "2026-03-03"
LIMITS = ValidationConfig(
    max_quarantined=1, max_unknown_videos=0, severities={"known_videos": "warn", "volume": "warn"}
)
MAP = """
source = "myapp"
text_ids = ["user"]
[watches]
files = "plays.csv"
[watches.columns]
user_id = "who"
video_id = "clip"
event_time = "at"
"""


def settings_of(home: Path) -> Settings:
    """Small days: nothing about their size blocks."""
    return Settings(home=home, validation=LIMITS)


def marked(settings: Settings) -> Users:
    """The users who go."""
    return find_users(settings, [MARKER], [("myapp", NAMED)])


def watch_of(user_id: int, number: int, day: str = MONDAY, **changes: object) -> dict[str, object]:
    """A watch whose event id names its user, as those of imports do."""
    row = watch(f"e{user_id}-{number}", 13 + number % 10, day=day, user_id=user_id, video_id=number % 9)
    return row | {"long_watch": number % 2 == 0} | changes


def build_home(home: Path) -> Settings:
    """Land, ingest, repair, materialize, push, judge and train; then leave some work unfinished."""
    settings = settings_of(home)
    _land(settings)
    ingest([MONDAY], settings=settings)
    _write_bundle(settings, "of-monday")
    land(settings, WATCHES, [watch_of(101, 40), watch_of(MARKER, 41)], name="late.jsonl")
    ingest([MONDAY, TUESDAY], settings=settings)
    _repair(settings)
    check_days([MONDAY], settings)
    write_page(settings)
    materialize([MONDAY, TUESDAY], settings=settings)
    recent = [RecentWatch(1_772_600_000_000_000, f"e{MARKER}-90", 5, 1)]
    FeatureStore(settings).push({MARKER: recent, 101: [RecentWatch(1_772_600_000_000_001, "e101-91", 5, 1)]})
    Aggregates(settings).update([MONDAY, TUESDAY])
    served = _write_bundle(settings, "of-tuesday")
    FeatureStore(settings).register_bundle(open_bundle(served))
    _as_of_earlier_days(_write_bundle(settings, "of-old"))
    _leave_unfinished(settings)
    return settings


def _land(settings: Settings) -> None:
    both = (101, MARKER, 102)
    for day in (MONDAY, TUESDAY):
        land(settings, VIDEOS, [video(i) for i in range(9)], day=day)
        land(settings, USERS, [user(i) for i in both], day=day)
    land(settings, WATCHES, [watch_of(i, 1) for i in both] + [watch_of(MARKER, 2, video_id=77)])
    broken = f'{{"event_id": "b", "user_id": {MARKER}, "video_id": 1, "event_time"'.encode()
    others = b'{"event_id": "c", "user_id": 101, "video_id": 1, "event_time"'
    land(settings, WATCHES, [broken, others, *(watch_of(i, 3) for i in both)], name="b.jsonl.gz")
    refused = [watch_of(i, 4, video_id=-1) for i in both]
    land(settings, WATCHES, [*refused, watch_of(102, 5)], name="c.jsonl")
    names = ("event_id", "user_id", "video_id", "event_time")
    rows = [watch_of(i, 6) for i in both] + [watch_of(i, 7, video_id=-2) for i in both]
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    content = "".join(f"{line}\n" for line in lines).encode()
    folder = settings.landing / WATCHES / MONDAY
    (folder / "d.csv").write_bytes(content)
    again = content.replace(b"-6,", b"-8,").replace(b"-7,", b"-9,")
    with pa.output_stream(folder / "e.csv.zst", compression="zstd") as out:
        out.write(again)
    rows = [watch_of(i, 10 + i % 2, day=TUESDAY) for i in both for _ in range(1)]
    table = pa.table({name: [row[name] for row in rows] for name in names})
    (settings.landing / WATCHES / TUESDAY).mkdir()
    pq.write_table(table, settings.landing / WATCHES / TUESDAY / "f.parquet", compression="zstd")
    bad = table.append_column("watch_seconds", pa.array([-1.0, -1.0, -1.0]))
    bad = bad.set_column(0, "event_id", pa.array([f"{name}x" for name in table["event_id"].to_pylist()]))
    pq.write_table(bad, settings.landing / WATCHES / TUESDAY / "g.parquet", row_group_size=1)
    shown = [
        {
            "request_id": f"r{i}",
            "user_id": i,
            "video_id": 1,
            "event_time": f"{MONDAY}T12:00:00+00:00",
            "rank": rank,
        }
        for i in both
        for rank in (0, -1)
    ]
    land(settings, EXPOSURES, shown)
    _import_named(settings)


def _import_named(settings: Settings) -> None:
    folder = settings.root / "delivered"
    folder.mkdir()
    lines = [f"{who},{clip},{MONDAY}T15:00:00+00:00" for who in (STAYS, NAMED) for clip in (1, 2)]
    lines.append(f"{NAMED},3,too,many")
    (folder / "plays.csv").write_text("\n".join(["who,clip,at", *lines]))
    (folder / "map.toml").write_text(MAP)
    import_columns(folder, load_column_map(folder / "map.toml"), settings)
    shutil.rmtree(folder)  # the producer's own files are not ours


def _repair(settings: Settings) -> None:
    """A replay with a row of the user who goes and one of a user who stays."""
    out = settings.root / "repaired.jsonl"
    export_rows(WATCHES, MONDAY, out, settings, rule="video_id is negative")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for row in rows:
        if int(row["row"]["user_id"]) in (101, MARKER) and row["file"].endswith("c.jsonl"):
            row["row"]["video_id"] = 8
    out.write_text("\n".join(json.dumps(row) for row in rows))
    assert replay(WATCHES, MONDAY, out, settings).repaired == 2
    out.unlink()


def _write_bundle(settings: Settings, version: str) -> Path:
    lake = Lake(settings)
    path = write_interests(settings, version)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["data"]["snapshots"] = {table: lake.snapshot(table) for table in (WATCHES, VIDEOS)}
    (path / MANIFEST).write_text(json.dumps(manifest))
    rows = {"user_id": [101, 101, MARKER], "interest": [0, 1, 1], "activation": [1.0, 2.0, 3.0]}
    schema = pq.read_schema(path / ACTIVATION)
    pq.write_table(pa.table(rows).cast(schema), path / ACTIVATION)
    (path / USER_SUMS).write_text(json.dumps({ACTIVATION: [sha256(path / ACTIVATION)]}))
    return path


def _as_of_earlier_days(path: Path) -> None:
    """All sums in the manifest, none beside it."""
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"] |= {name: sums[0] for name, sums in user_sums(path).items()}
    (path / MANIFEST).write_text(json.dumps(manifest))
    (path / USER_SUMS).unlink()


def _leave_unfinished(settings: Settings) -> None:
    land(
        settings, WATCHES, [watch_of(i, 50, day=TUESDAY) for i in (101, MARKER)], day=TUESDAY, name="h.jsonl"
    )
    stage([TUESDAY], settings=settings)
    checkpoints = settings.root / "checkpoints"
    checkpoints.mkdir()
    np.savez(checkpoints / "run.npz", users=np.array([101, MARKER]))
    (settings.root / "logs").mkdir()
    line = f"look-up of user {MARKER} failed\nfeatures unavailable user_id={MARKER} error=busy\nall is well\n"
    (settings.root / "logs" / "serving.log").write_text(line)
    pq.write_table(
        pa.table({"user_id": [101, MARKER], "list": [[1], [2]]}), settings.root / "demo_users.parquet"
    )
    content = (settings.root / "demo_users.parquet").read_bytes()
    drafts = settings.root / "demo"
    drafts.mkdir()
    (drafts / ".demo_users.parquet.4711").write_bytes(content)
    (drafts / "cut_off.parquet").write_bytes(content[: len(content) // 2])
