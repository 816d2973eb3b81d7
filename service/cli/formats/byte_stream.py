"""Bytes of a file or pipe: opened by name, decompressed, and converted to UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, cast

from service.cli.formats.rows import FileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes to read at once.
CHUNK_BYTES = 64 * 1024

_COMPRESSIONS: dict[bytes, tuple[str, Callable[[io.BufferedReader], io.BufferedIOBase]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
}

# Longer marks first: the mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class ByteStream(io.RawIOBase):
    """A stream over chunks of bytes. Chunks must not be empty."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """Return true, for BufferedReader."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer with the next bytes; return their number, 0 at the end."""
        view = memoryview(buffer).cast("B")
        piece = self._rest or next(self._chunks, b"")
        count = min(len(view), len(piece))
        view[:count] = piece[:count]
        self._rest = piece[count:]
        return count


def read_chunks(path: str, on_bytes: Callable[[int], object]) -> Iterator[bytes]:
    """Yield the bytes of a file or pipe, decompressed; a text with a byte order mark as UTF-8.

    Args:
        path: name of the file or pipe; - for standard input.
        on_bytes: receives the number of bytes that were read, before they are decompressed.

    Raises:
        FileError: the file cannot be read or decompressed, or is not in the encoding of its mark.
    """
    chunks = _read_file(path, on_bytes)
    head, chunks = peek(chunks, CHUNK_BYTES)
    for magic, (name, opener) in _COMPRESSIONS.items():
        if head.startswith(magic):
            chunks = _decompress(opener(io.BufferedReader(ByteStream(chunks))), name)
            head, chunks = peek(chunks, CHUNK_BYTES)
            break
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return _convert(chunks, "utf-8-sig" if encoding == "utf-8" else encoding)
    return chunks


def peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, at least `size` unless there are fewer, and all chunks."""
    head = b""
    while len(head) < size and (chunk := next(chunks, b"")):
        head += chunk
    return head, chain([head] if head else [], chunks)


def _read_file(path: str, on_bytes: Callable[[int], object]) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            # Of a pipe, the bytes that have arrived: its writer may wait before it writes more.
            while chunk := file.read1(CHUNK_BYTES):
                on_bytes(len(chunk))
                yield chunk
    except OSError as exc:
        raise FileError(f"cannot be read: {exc.strerror or exc}") from None


def _open(path: str) -> io.BufferedReader:
    if path == "-":
        # Not through `sys.stdin`, which the interpreter closes at its end: it aborts if a thread is
        # reading then.
        with suppress(io.UnsupportedOperation):
            return open(sys.stdin.fileno(), "rb", closefd=False)
        return cast("io.BufferedReader", sys.stdin.buffer)
    return open(path, "rb")  # noqa: PTH123  (pipes)


def _decompress(file: io.BufferedIOBase, name: str) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
    except EOFError:
        raise FileError(f"the {name} data ends too early; the file was cut off") from None
    except (OSError, zlib.error, lzma.LZMAError) as exc:
        raise FileError(f"the {name} data is damaged: {exc}") from None


def _convert(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(
        "surrogateescape" if encoding == "utf-8-sig" else "strict"
    )
    try:
        for chunk in chain(chunks, [b""]):
            text = decoder.decode(chunk, final=not chunk)
            if text:
                yield text.encode(errors="surrogateescape")
    except UnicodeError as exc:
        raise FileError(
            f"not {encoding.upper()}, although it begins with its mark: {exc}"
        ) from None
