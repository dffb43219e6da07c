"""Lines of any file come out as they are, numbered, with the fields of quoted ones."""

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from features.errors import BadInputError
from features.sources.delimited import Layout, line_batches, read_header

TEXT = 'a,b\n1,2\n\n  \n"x, y",3\nno,"end\n5,6'


def _lines(path: Path, layout: Layout) -> list[tuple[int, bytes, list[str] | None]]:
    batches = list(line_batches(path, layout))
    return [tuple(row.values()) for row in pa.Table.from_batches(batches).to_pylist()] if batches else []


def _write(tmp_path: Path, data: bytes, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


EXPECTED = [
    (2, b"1,2", None),
    (5, b'"x, y",3', ["x, y", "3"]),
    (6, b'no,"end', []),  # quotes that do not close: fields that nobody can tell
    (7, b"5,6", None),
]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("log.csv", TEXT.encode()),
        ("log.csv", TEXT.replace("\n", "\r\n").encode()),
        ("log.csv", b"\xef\xbb\xbf" + TEXT.encode()),
        ("log.csv.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("log.csv.bz2", bz2.compress(TEXT.encode())),
        ("log.csv.zst", pa.compress(TEXT.encode(), "zstd", asbytes=True)),
    ],
    ids=["plain", "crlf", "bom", "gzip", "bzip2", "zstd"],
)
def test_lines_are_the_same_in_every_packing(tmp_path: Path, name: str, data: bytes) -> None:
    path = _write(tmp_path, data, name)
    assert read_header(path, Layout()) == ["a", "b"]
    assert _lines(path, Layout()) == EXPECTED


def test_a_file_without_header_loses_no_line(tmp_path: Path) -> None:
    layout = Layout(names=("id", "title"))
    assert _lines(_write(tmp_path, b"1,x\n2,y\n"), layout) == [(1, b"1,x", None), (2, b"2,y", None)]


def test_a_first_line_that_repeats_the_names_is_no_row(tmp_path: Path) -> None:
    layout = Layout(names=("id", "title"))
    assert _lines(_write(tmp_path, b"id,title\n1,x\n"), layout) == [(2, b"1,x", None)]


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    assert _lines(_write(tmp_path, b"a,b\n\xff,1\n"), Layout()) == [(2, b"\xff,1", None)]


def test_another_encoding_becomes_utf8(tmp_path: Path) -> None:
    path = _write(tmp_path, "a::b\ncafé::1\n".encode("latin-1"))
    assert _lines(path, Layout(delimiter="::", has_quotes=False, encoding="latin-1")) == [
        (2, "café::1".encode(), None)
    ]


def test_an_empty_last_field_of_a_tab_separated_line_is_kept(tmp_path: Path) -> None:
    assert _lines(_write(tmp_path, b"a\tb\n1\t\n"), Layout(delimiter="\t")) == [(2, b"1\t", None)]


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"log\.csv is empty"):
        read_header(_write(tmp_path, b"\n"), Layout())


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, gzip.compress(TEXT.encode() * 1000)[:-20], "log.csv.gz")
    with pytest.raises(BadInputError, match=r"log\.csv\.gz cannot be read to its end"):
        _lines(path, Layout())
