"""Tables for both engines; Spark takes seconds where DuckDB takes milliseconds: its tests are slow ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.aggregates.config import AggregatesConfig
from features.aggregates.engines import Engine, open_engine

MakeTable = Callable[[list[dict[str, Any]], pa.Schema], ir.Table]


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return open_engine(AggregatesConfig(engine=request.param, spark_master="local[2]"), tmp_path / "spill")


@pytest.fixture
def make(engine: Engine, tmp_path: Path) -> MakeTable:
    """Rows as a table of the engine."""
    made = iter(range(100))

    def write(rows: list[dict[str, Any]], schema: pa.Schema) -> ir.Table:
        path = tmp_path / f"{next(made)}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        return engine.read([path])

    return write


def fetch(engine: Engine, rows: ir.Table) -> pa.Table:
    """Evaluate an expression that is needed once."""
    return engine.fetch(engine.prepare(rows))
