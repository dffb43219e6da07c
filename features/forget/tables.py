"""Users out of every Parquet file with a column ``user_id``, wherever it lies below FACET_HOME.

Feature exports, sums of aggregates, reports of the demo and whatever comes later: what holds users is found
by its columns, so nobody needs to remember to name it here. Landing, lake and bundles need more than that.
(Sums of aggregates that lost a user are not read again: the lake's files of their day are others.)
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.forget.users import Users
from features.lake import connect
from features.schema import USER_ID
from features.settings import Settings
from features.stage import write_parquet

ELSEWHERE: Final = ("landing", "lake", "bundles", "airflow", "milvus", "mlflow")
"""Folders with an erasure of their own, or of other programs."""
_DRAFT: Final = re.compile(r"^\..+\.[0-9]+$")
"""What a killed write of ours leaves: a hidden name that ends in the number of a process."""


def without_users(users: Users, rows: pa.Table) -> pa.Table:
    """The rows of others, in the same order."""
    if not users.ids:
        return rows
    own = pc.is_in(rows[USER_ID], value_set=pa.array(sorted(users.ids), rows[USER_ID].type))
    return rows.filter(pc.invert(own.combine_chunks().fill_null(False)))


def erase_tables(users: Users, settings: Settings) -> int:
    """Rewrite every Parquet file that holds ``users``; returns how many rows went."""
    erased = 0
    for path in _parquet_files(settings.root):
        if not holds_users(users, path):
            continue
        before = pq.read_table(path)
        kept = without_users(users, before)
        write_parquet(kept, path)
        erased += before.num_rows - kept.num_rows
    return erased


def remove_drafts(settings: Settings) -> int:
    """Delete stages, unfinished imports and trials, and files that were written by half; returns how many."""
    left = [
        *settings.staging.glob("*"),
        *settings.root.glob(".import-*"),
        *settings.root.glob("tune/trial-*"),
    ]
    left += (settings.root / "aggregates").glob("**/.*")
    left += [path for path in _own_files(settings.root) if _DRAFT.match(path.name)]
    left += [path for path in _parquet_files(settings.root) if _is_cut_off(path)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def holds_users(users: Users, path: Path) -> bool:
    """Whether a Parquet file has a row of one of them; one that was cut off has none."""
    if _is_cut_off(path):
        return False
    schema = pq.read_schema(path)
    if USER_ID not in schema.names or not pa.types.is_integer(schema.field(USER_ID).type) or not users.ids:
        return False
    query = f"SELECT 1 FROM read_parquet($path, hive_partitioning = false) WHERE {users.own_sql()} LIMIT 1"
    return bool(connect().execute(query, {"path": str(path)}).fetchall())


def _is_cut_off(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return True
    return False


def _parquet_files(root: Path) -> list[Path]:
    return [path for path in _own_files(root) if path.suffix == ".parquet"]


def _own_files(root: Path) -> Iterator[Path]:
    for top in sorted(root.iterdir()):
        if top.is_file():
            yield top
        elif top.name not in ELSEWHERE:
            yield from (path for path in sorted(top.rglob("*")) if path.is_file() and not path.is_symlink())
