"""The landing files of one day's simulated watches: which format a day has, and how broken lines get in."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import schema
from features.settings import Settings
from features.side_by_side import side_by_side
from features.sources.dirt import BROKEN_LINE, CUT, Arrivals
from features.sources.landing_writer import csv_lines, jsonl_lines, landing_folder, write_lines, write_parquet
from features.sources.simulation import SimulationConfig

NAME: Final = "simulator"
JSONL, CSV, PARQUET = ".jsonl.gz", ".csv", ".parquet"


def watch_format(day_number: int) -> str:
    """Suffix of the files of the ``day_number``-th day (0 is the first): every format gets its days."""
    if day_number % 7 == 6:
        return PARQUET
    return CSV if day_number % 5 == 4 else JSONL


def write_watches(arrivals: Arrivals, config: SimulationConfig, settings: Settings, day_number: int) -> int:
    """Write the day's files and return their number of rows, malformed ones included."""
    folder = landing_folder(settings, schema.WATCHES, config.days[day_number])
    suffix = watch_format(day_number)
    num_malformed = sum(len(rows) for rows in arrivals.malformed.values())
    if suffix == PARQUET:
        parts = enumerate(_parts(arrivals.rows, config.files_per_day))
        side_by_side(write_parquet, [(folder / f"{NAME}-{number}{suffix}", rows) for number, rows in parts])
        if num_malformed:  # a typed column cannot hold them: they come as a text file of their own
            write_lines(folder / f"{NAME}-malformed.jsonl", _broken_lines(arrivals, jsonl_lines))
        return len(arrivals.rows) + num_malformed
    to_lines, header = (
        (csv_lines, ",".join(arrivals.rows.column_names)) if suffix == CSV else (jsonl_lines, "")
    )

    def write(number: int, rows: pa.Table) -> None:
        lines = to_lines(rows)
        if number == 0 and num_malformed:
            rng = np.random.default_rng([config.seed, 6, day_number])
            lines = _mixed(lines, _broken_lines(arrivals, to_lines), rng)
        write_lines(folder / f"{NAME}-{number}{suffix}", lines, header)

    side_by_side(write, enumerate(_parts(arrivals.rows, config.files_per_day)))
    return len(arrivals.rows) + num_malformed


def _parts(rows: pa.Table, num_parts: int) -> list[pa.Table]:
    bounds = np.linspace(0, len(rows), num_parts + 1).astype(int).tolist()
    return [rows.slice(low, high - low) for low, high in pairwise(bounds)]


def _broken_lines(arrivals: Arrivals, to_lines: Callable[[pa.Table], pa.Array]) -> pa.Array:
    lines = []
    for kind, rows in arrivals.malformed.items():
        text = to_lines(rows)
        if kind == BROKEN_LINE:
            text = pc.binary_join_element_wise(pc.utf8_slice_codeunits(text, 0, CUT), "\n", "")
        lines.append(text)
    return pa.concat_arrays(lines)


def _mixed(lines: pa.Array, others: pa.Array, rng: np.random.Generator) -> pa.Array:
    """``lines`` in their order, with ``others`` at random places between them."""
    places = np.concatenate([np.arange(len(lines)), rng.random(len(others)) * len(lines)])
    return pa.concat_arrays([lines, others]).take(pa.array(np.argsort(places, kind="stable")))
