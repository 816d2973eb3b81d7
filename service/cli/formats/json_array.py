"""JSON values over several lines: an array of objects, or objects one after another."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import BinaryIO

from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import (
    MAX_JSON_BYTES,
    FileError,
    LineError,
    Records,
    Row,
    check_encoding,
    exceeds_bytes,
)

# Characters to read at once; more if a value is longer.
_CHUNK_CHARACTERS = 64 * 1024

_WHITESPACE = " \t\r\n"


def read_json_array(stream: BinaryIO) -> Records:
    """Return the elements of an array. The stream is read piece by piece, not as a whole."""
    return Records(_read_array(_Scanner(stream)))


def read_json_sequence(stream: BinaryIO) -> Records:
    """Return values that stand one after another and may have several lines each."""
    return Records(_read_sequence(_Scanner(stream)))


def _read_array(scanner: _Scanner) -> Iterator[Row]:
    scanner.next_symbol()
    scanner.skip_symbol()  # the bracket
    if scanner.next_symbol() == "]":
        scanner.skip_symbol()
    else:
        symbol = ","
        while symbol == ",":
            yield scanner.read_value()
            symbol = scanner.next_symbol()
            if symbol not in {",", "]"}:
                raise scanner.error("the array must continue with a comma or end with a bracket")
            scanner.skip_symbol()
    if scanner.next_symbol():
        raise scanner.error("there must be nothing after the array")


def _read_sequence(scanner: _Scanner) -> Iterator[Row]:
    while scanner.next_symbol():
        yield scanner.read_value()


class _Scanner:
    """Reads values from a stream, of which it holds one piece."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape")
        self._decoder = JsonDecoder()
        self._text = ""
        self._position = 0
        self._line = 1

    def next_symbol(self) -> str:
        """Return the next character after whitespace, without reading it; empty at the end."""
        while True:
            while self._position < len(self._text):
                symbol = self._text[self._position]
                if symbol not in _WHITESPACE:
                    return symbol
                self._line += symbol == "\n"
                self._position += 1
            if not self._fill():
                return ""

    def skip_symbol(self) -> None:
        """Read the next character."""
        self._position += 1

    def read_value(self) -> Row:
        """Read the next value.

        Raises:
            FileError: the value is not JSON or is too long, so that its end is unknown.
        """
        self.next_symbol()
        number = self._line
        value, end = self._decode()
        text = self._text[self._position : end]
        self._position = end
        self._line += text.count("\n")
        if exceeds_bytes(text, MAX_JSON_BYTES):
            return Row(number, LineError(f"longer than {MAX_JSON_BYTES} bytes"))
        try:
            check_encoding(text)
        except LineError as exc:
            return Row(number, exc)
        return Row(number, value)

    def error(self, problem: str) -> FileError:
        """Return an error at the current position."""
        return FileError(f"not JSON at line {self._line}: {problem}")

    def _decode(self) -> tuple[object | LineError, int]:
        while True:
            try:
                value, end = self._decoder.decode_at(self._text, self._position)
            except json.JSONDecodeError as exc:
                problem, line = (
                    exc.msg,
                    self._line + self._text.count("\n", self._position, exc.pos),
                )
            else:
                # A number at the end of the piece may go on in the next one.
                if end < len(self._text) or not self._fill():
                    return value, end
                continue
            if len(self._text) - self._position > MAX_JSON_BYTES:
                problem = f"no complete value within {MAX_JSON_BYTES} bytes"
            elif self._fill():
                continue
            raise FileError(f"not JSON at line {line}: {problem}")

    def _fill(self) -> bool:
        """Read the next piece and drop what was read; return whether there is more."""
        self._text = self._text[self._position :]
        self._position = 0
        # Pieces that grow with the value keep the time to decode it proportional to its length.
        piece = self._stream.read(max(_CHUNK_CHARACTERS, len(self._text)))
        self._text += piece
        return bool(piece)
