"""Reads back what the sources wrote, by other means than the sources use."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq

from features.settings import Settings


def landed_files(settings: Settings) -> dict[str, bytes]:
    """Every file below the home, by relative path."""
    files = sorted(path for path in settings.root.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.root)): path.read_bytes() for path in files}


def landed_rows(settings: Settings, table: str, day: str = "*") -> list[dict]:
    """All rows of a clean table, values as text or as the format has them."""
    files = sorted((settings.landing / table).glob(f"{day}/*"))
    return [row for path in files for row in _rows(path)]


def _rows(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text().splitlines()))
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]
