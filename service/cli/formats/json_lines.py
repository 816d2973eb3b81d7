"""JSON lines: one JSON value on each line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import (
    MAX_JSON_BYTES,
    LineError,
    Records,
    Row,
    check_encoding,
    exceeds_bytes,
)


def read_json_lines(stream: BinaryIO) -> Records:
    """Return the values of the lines that are not blank; an invalid line does not affect others."""
    return Records(_read_rows(stream))


def _read_rows(stream: BinaryIO) -> Iterator[Row]:
    decoder = JsonDecoder()
    for number, line in enumerate(_read_lines(stream), start=1):
        if isinstance(line, LineError):
            yield Row(number, line)
        elif line.strip():
            try:
                yield Row(number, _decode(decoder, line))
            except LineError as exc:
                yield Row(number, exc)


def _decode(decoder: JsonDecoder, line: str) -> object:
    if not line.strip().strip("\0"):
        raise LineError("only NUL bytes; the end of the file was probably not written")
    check_encoding(line)
    return decoder.decode(line)


def _read_lines(stream: BinaryIO) -> Iterator[str | LineError]:
    """Yield lines that end with LF, CRLF or CR, and an error for one that is too long."""
    text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape")
    while line := text.readline(MAX_JSON_BYTES):
        is_cut = len(line) == MAX_JSON_BYTES and not line.endswith("\n")
        if is_cut:
            _skip_line(text)
        if is_cut or exceeds_bytes(line, MAX_JSON_BYTES):
            yield LineError(f"longer than {MAX_JSON_BYTES} bytes")
        else:
            yield line


def _skip_line(text: io.TextIOWrapper) -> None:
    while (rest := text.readline(MAX_JSON_BYTES)) and not rest.endswith("\n"):
        pass
