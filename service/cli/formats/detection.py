"""Recognizes the format of a file by its first bytes and opens it with the reader of the format."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Sequence
from typing import BinaryIO

from service.cli.formats.byte_stream import CHUNK_BYTES, ByteStream, peek, read_chunks
from service.cli.formats.delimited import find_delimiter, read_delimited
from service.cli.formats.json_array import read_json_array, read_json_sequence
from service.cli.formats.json_lines import read_json_lines
from service.cli.formats.parquet import read_parquet
from service.cli.formats.rows import FileError, Records, check_columns

_PARQUET = b"PAR1"

ACCEPTED_FORMATS = "JSON lines, a JSON array, CSV, TSV or Parquet"

_NO_COLUMNS = "--columns is for CSV and TSV without a header, and the file is neither"

# First bytes of formats that are refused by name.
_REFUSED_FORMATS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3\0": "an SQLite database",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
    b"\x1f\x8b": "compressed twice",
    b"BZh": "compressed twice",
    b"<": "HTML or XML",
}


def open_records(
    path: str,
    on_bytes: Callable[[int], object] = lambda _: None,
    columns: Sequence[str] = (),
) -> Records:
    """Open a file or pipe of JSON, CSV, TSV or Parquet, also compressed.

    Args:
        path: name of the file or pipe, which is read once; - for standard input.
        on_bytes: receives the number of bytes that were read.
        columns: names of the columns of a CSV or TSV without a header.

    Raises:
        FileError: the file cannot be read, or its format is not accepted.
    """
    head, chunks = peek(read_chunks(path, on_bytes), CHUNK_BYTES)
    stream = io.BufferedReader(ByteStream(chunks), CHUNK_BYTES)
    if columns:
        return _read_headerless(head, stream, columns)
    if head.startswith(_PARQUET):
        return read_parquet(stream)
    return _open_text(_decode(head), stream)


def _open_text(text: str, stream: BinaryIO) -> Records:
    """Open a stream of text, which begins with `text`."""
    start = text.lstrip()
    first_line = start.splitlines()[0] if start else ""
    if not start or first_line.startswith("{"):
        if first_line.rstrip() == "{":
            return read_json_sequence(stream)
        return read_json_lines(stream)
    if start.startswith("["):
        return read_json_array(stream)
    if delimiter := find_delimiter(first_line):
        return read_delimited(stream, delimiter)
    if any(line.lstrip().startswith("{") for line in start.splitlines()):
        return read_json_lines(stream)
    raise FileError(f"the format is not recognized; it must be {ACCEPTED_FORMATS}")


def _read_headerless(head: bytes, stream: BinaryIO, columns: Sequence[str]) -> Records:
    check_columns(columns)
    if head.startswith(_PARQUET):
        raise FileError(_NO_COLUMNS)
    start = _decode(head).lstrip()
    if not start:
        return read_json_lines(stream)
    delimiter = find_delimiter(start.splitlines()[0])
    if not delimiter or start.startswith(("{", "[")):
        raise FileError(_NO_COLUMNS)
    return read_delimited(stream, delimiter, columns)


def _decode(head: bytes) -> str:
    """Return the first bytes as text.

    Raises:
        FileError: they are not UTF-8.
    """
    for magic, name in _REFUSED_FORMATS.items():
        if head.lstrip().startswith(magic):
            raise FileError(f"the file is {name}; convert it to {ACCEPTED_FORMATS}")
    first_line = head.partition(b"\n")[0]
    if b"\0" in first_line.rstrip(b"\0"):
        raise FileError(
            "the file is UTF-16 without a byte order mark; convert it to UTF-8, for example with "
            "iconv -f UTF-16LE -t UTF-8"
            if head[:1] + head[2:3] == b"\0\0" or head[1:2] + head[3:4] == b"\0\0"
            else f"the file is binary; it must be {ACCEPTED_FORMATS}"
        )
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < CHUNK_BYTES)
    except UnicodeDecodeError as exc:
        line = head.count(b"\n", 0, exc.start) + 1
        raise FileError(
            f"line {line} is not UTF-8 (byte 0x{head[exc.start]:02x}); convert the file, "
            "for example with iconv -f LATIN1 -t UTF-8"
        ) from None
