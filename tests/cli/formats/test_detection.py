import bz2
import gzip
import itertools
import json
import lzma
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, LineError

# Without the time in the header, which would make each run of the tests another one.
compress = partial(gzip.compress, mtime=0)

OBJECTS: list[Any] = [{"id": "a", "text": "été 東京"}, {"id": "b", "text": "tea, [hot] {sweet}"}]
LINES = "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in OBJECTS)
TABLE = "id,text\na,été 東京\nb,tea\n"


def read(tmp_path: Path, content: bytes) -> list[Any]:
    """Return the numbers and values of a file, with errors as words."""
    file = tmp_path / "file"
    file.write_bytes(content)
    return [
        (number, str(value) if isinstance(value, LineError) else value)
        for number, value in open_records(str(file)).rows
    ]


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\r").encode(),
        LINES.encode("utf-16"),
        b"\xfe\xff" + LINES.encode("utf-16-be"),
        LINES.encode("utf-32"),
        f"\n\n{LINES}\n".encode(),
        json.dumps(OBJECTS).encode(),
        json.dumps(OBJECTS, ensure_ascii=False, indent=2).encode(),
        "\n".join(json.dumps(value, indent=1) for value in OBJECTS).encode(),
        compress(LINES.encode()),
        compress(LINES.encode()[:20]) + compress(LINES.encode()[20:]),
        compress(LINES.encode("utf-16")),
        bz2.compress(LINES.encode()),
        lzma.compress(LINES.encode()),
    ],
    ids=itertools.count(),
)
def test_json_is_read_in_any_form(tmp_path: Path, content: bytes) -> None:
    """Byte order marks, line ends, encodings, arrays, layout and compression change no value."""
    assert OBJECTS == [value for _, value in read(tmp_path, content)]


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "::"),
        TABLE.replace("\n", "\r\n"),
        '"id","text"\n"a","été 東京"\n"b","tea"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_recognized_by_their_header(tmp_path: Path, table: str, encoding: str) -> None:
    """CSV and TSV are read with any delimiter, line end, quotes and byte order mark."""
    rows = [{"id": "a", "text": "été 東京"}, {"id": "b", "text": "tea"}]
    assert rows == [value for _, value in read(tmp_path, table.encode(encoding))]


@pytest.mark.parametrize(
    "content", [b"1,tea\n2,wine", b"1\ttea\n2\twine", compress(b"1;tea\n2;wine")]
)
def test_columns_can_be_named(tmp_path: Path, content: bytes) -> None:
    """A table without a header is read with the names of its columns, with any delimiter."""
    file = tmp_path / "file"
    file.write_bytes(content)
    rows = open_records(str(file), columns=["id", "text"]).rows
    assert [{"id": "1", "text": "tea"}, {"id": "2", "text": "wine"}] == [row.value for row in rows]


@pytest.mark.parametrize("content", [LINES, "[]", "tea", "PAR1"])
def test_columns_are_only_for_tables_of_text(tmp_path: Path, content: str) -> None:
    """Names of columns are refused for a file that is not CSV or TSV, and an empty one has none."""
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(FileError, match="--columns is for CSV and TSV"):
        open_records(str(file), columns=["id"])
    with pytest.raises(FileError, match="2 columns have the name id"):
        open_records(str(file), columns=["id", "id"])
    file.write_text("\n")
    assert [] == list(open_records(str(file), columns=["id"]).rows)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04" + b"\0" * 50, "zip archive or an Excel workbook"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"<html><body>", "HTML or XML"),
        (compress(compress(LINES.encode())), "compressed twice"),
        (b"\x00\x01\x02\x03\n", "binary"),
        (LINES.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (LINES.encode("utf-16-be"), "UTF-16 without a byte order mark"),
        ('{"id": "a", "text": "a"}\n{"id": "b", "text": "é"}'.encode("latin-1"), "line 2 is not"),
        (b"hello\nworld\n", "not recognized"),
        (b"id,id\n1,2\n", "2 columns have the name id"),
        (b'"id,text\n', "the header is invalid"),
    ],
    ids=itertools.count(),
)
def test_other_formats_are_refused_once(tmp_path: Path, content: bytes, problem: str) -> None:
    """A file in a format that is not accepted is refused in one sentence, before any row."""
    with pytest.raises(FileError, match=problem) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (compress(LINES.encode() * 9_000)[:-20], "gzip data ends too early"),
        (bz2.compress(LINES.encode() * 9_000)[:-20], "bzip2 data ends too early"),
        (b"\x1f\x8b" + b"\xff" * 50, "gzip data is damaged"),
        (json.dumps(OBJECTS).encode()[:-1], "must continue with a comma or end with a bracket"),
        (json.dumps(OBJECTS).encode()[:-4], "line 1"),
        (json.dumps(OBJECTS).encode() + b"\n{}", "line 2: there must be nothing after the array"),
        (b"[{} {}]", "comma"),
        (b"[{},]", "line 1"),
        (LINES.encode("utf-16")[:-1], "not UTF-16"),
    ],
    ids=itertools.count(),
)
def test_damaged_files_end_with_an_error(tmp_path: Path, content: bytes, problem: str) -> None:
    """A file that is cut off or damaged ends with an error and not as if it were complete."""
    with pytest.raises(FileError, match=problem):
        read(tmp_path, content)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    """A file without content is valid."""
    assert [] == read(tmp_path, b"")
    assert [] == read(tmp_path, compress(b""))
    assert [] == read(tmp_path, b"[ ]\n")


def test_a_bad_line_far_behind_the_beginning_fails_alone(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 fail only their line if the file begins well."""
    count = 5_000
    good = LINES.encode() * count
    rows = read(tmp_path, good + '{"text": "é"}\n'.encode("latin-1") + good)
    bad = [(number, value) for number, value in rows if isinstance(value, str)]
    assert [(2 * count + 1, "not UTF-8: byte 0xe9; convert the file to UTF-8")] == bad
    table = b"id,text\n" + b"a,b\n" * 20_000 + b"a,\xe9\n" + b"a,b\n"
    (bad_row,) = [row for row in read(tmp_path, table) if isinstance(row[1], str)]
    assert 20_002 == bad_row[0]


def write_to(descriptor: int, content: bytes) -> threading.Thread:
    """Write into a pipe in a thread, because a pipe holds little."""

    def write() -> None:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def by_descriptor(_: Path, content: bytes) -> tuple[str, threading.Thread]:
    read_end, write_end = os.pipe()
    return f"/dev/fd/{read_end}", write_to(write_end, content)


def by_name(folder: Path, content: bytes) -> tuple[str, threading.Thread]:
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        path.write_bytes(content)

    thread = threading.Thread(target=write)
    thread.start()
    return str(path), thread


@pytest.mark.parametrize("open_pipe", [by_descriptor, by_name])
@pytest.mark.parametrize(
    "content",
    [
        LINES.encode() * 5_000,
        compress(LINES.encode() * 5_000),
        json.dumps(OBJECTS * 5_000).encode(),
    ],
    ids=["lines", "compressed", "array"],
)
def test_pipes_are_read_once(
    tmp_path: Path,
    open_pipe: Callable[[Path, bytes], tuple[str, threading.Thread]],
    content: bytes,
) -> None:
    """A pipe that is given by name is read from start to end, without going back."""
    path, thread = open_pipe(tmp_path, content)
    counts: list[int] = []
    rows = list(open_records(path, counts.append).rows)
    thread.join()
    assert (10_000, OBJECTS[1]) == (len(rows), rows[-1].value)
    assert len(content) == sum(counts)
