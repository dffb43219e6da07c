"""Where the expressions run: DuckDB in this process, or Spark.

An engine reads and writes Parquet; a table is a file, or a folder of files as Spark writes it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from features.aggregates.config import AggregatesConfig
from features.errors import BadInputError
from features.lake import connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled expression."""

    sql: str
    schema: pa.Schema


@runtime_checkable
class Engine(Protocol):
    """Evaluates Ibis expressions."""

    def read(self, paths: Sequence[Path | str]) -> ir.Table:
        """The rows of all ``paths``, at least one."""

    def write(self, rows: ir.Table, path: Path) -> None:
        """Evaluate ``rows`` into a new Parquet file or folder."""

    def view(self, name: str, rows: ir.Table) -> ir.Table:
        """Let ``name`` stand for ``rows`` from now on, also in queries that are prepared already."""

    def prepare(self, rows: ir.Table) -> Query:
        """Compile once what is fetched often: that takes longer than to evaluate small tables."""

    def fetch(self, query: Query) -> pa.Table:
        """Evaluate into memory."""

    def hold(self, rows: ir.Table) -> AbstractContextManager[ir.Table]:
        """Evaluate ``rows`` once for several readers, until the context ends."""


class DuckdbEngine:
    """DuckDB in this process, in memory; spills to ``spill``."""

    def __init__(self, spill: Path) -> None:
        connection = connect()
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET temp_directory = $spill", {"spill": str(spill)})
        self._backend = ibis.duckdb.from_connection(connection)

    def read(self, paths: Sequence[Path | str]) -> ir.Table:
        """See ``Engine``."""
        return self._backend.read_parquet([str(file) for file in _files(paths)], hive_partitioning=False)

    def write(self, rows: ir.Table, path: Path) -> None:
        """See ``Engine``."""
        self._backend.to_parquet(rows, path)

    def view(self, name: str, rows: ir.Table) -> ir.Table:
        """See ``Engine``."""
        self._backend.con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {self._backend.compile(rows)}")
        return self._backend.table(name)

    def prepare(self, rows: ir.Table) -> Query:
        """See ``Engine``."""
        return Query(self._backend.compile(rows), rows.schema().to_pyarrow())

    def fetch(self, query: Query) -> pa.Table:
        """See ``Engine``."""
        return self._backend.con.sql(query.sql).to_arrow_table().cast(query.schema)

    @contextmanager
    def hold(self, rows: ir.Table) -> Iterator[ir.Table]:
        """See ``Engine``. By hand, because Ibis 12 drops its own cached tables with SQL that has no name."""
        name = ibis.util.gen_name("facet")
        self._backend.con.execute(f"CREATE TEMP TABLE {name} AS {self._backend.compile(rows)}")
        try:
            yield self._backend.table(name)
        finally:
            self._backend.con.execute(f"DROP TABLE {name}")


class SparkEngine:
    """A Spark session, the running one if there is one."""

    def __init__(self, session: "SparkSession") -> None:
        self._session = session
        self._backend = ibis.pyspark.connect(session)

    def read(self, paths: Sequence[Path | str]) -> ir.Table:
        """See ``Engine``."""
        name = ibis.util.gen_name("facet")
        self._session.read.parquet(*map(str, _files(paths))).createOrReplaceTempView(name)
        return self._backend.table(name)

    def write(self, rows: ir.Table, path: Path) -> None:
        """See ``Engine``."""
        self._backend.to_parquet(rows, path)

    def view(self, name: str, rows: ir.Table) -> ir.Table:
        """See ``Engine``."""
        self._session.sql(self._backend.compile(rows)).createOrReplaceTempView(name)
        return self._backend.table(name)

    def prepare(self, rows: ir.Table) -> Query:
        """See ``Engine``."""
        return Query(self._backend.compile(rows), rows.schema().to_pyarrow())

    def fetch(self, query: Query) -> pa.Table:
        """See ``Engine``."""
        return self._session.sql(query.sql).toArrow().cast(query.schema)

    @contextmanager
    def hold(self, rows: ir.Table) -> Iterator[ir.Table]:
        """See ``Engine``."""
        name = ibis.util.gen_name("facet")
        frame = self._session.sql(self._backend.compile(rows)).persist()
        frame.createOrReplaceTempView(name)
        try:
            yield self._backend.table(name)
        finally:
            frame.unpersist()


def open_engine(config: AggregatesConfig, spill: Path) -> Engine:
    """The engine that ``config`` names.

    Raises:
        BadInputError: Spark is asked for and not installed.
    """
    if config.engine == "duckdb":
        return DuckdbEngine(spill)
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise BadInputError(
            "the engine spark needs PySpark: pip install 'facet[spark]', and Java 17"
        ) from error
    builder = SparkSession.builder.master(config.spark_master).appName("facet aggregates")
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if config.spark_master.startswith("local"):
        settings["spark.sql.shuffle.partitions"] = "8"  # 200, the default, is for clusters: 5x the time here
    for name, value in settings.items():
        builder = builder.config(name, value)
    return SparkEngine(builder.getOrCreate())


def _files(paths: Sequence[Path | str]) -> list[Path]:
    """Spark's folders hold notes of its own beside the data."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return found
