"""Values and names inside SQL texts, quoted."""

from pathlib import Path


def literal(text: str) -> str:
    """A text value."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column name, whatever it consists of."""
    return '"' + name.replace('"', '""') + '"'


def parquet_rows(path: Path) -> str:
    """The rows of one Parquet file, without columns out of its folders' names."""
    return f"read_parquet({literal(str(path))}, hive_partitioning = false)"
