"""Rows of a file: what every reader returns, whatever the format of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from service.domain import limits
from service.extras import describe_installation

# A line of a table. Those of valid items without vectors are far shorter.
MAX_LINE_BYTES = limits.MESSAGE_BYTES // 2

# A value in JSON. The item or user of the largest message fits, whose JSON is longer: a number of
# a vector takes 4 bytes there and up to 17 here, and a byte of a text takes up to 6 here.
MAX_JSON_BYTES = 5 * limits.MESSAGE_BYTES

# The most bytes of a character in UTF-8.
_MAX_CHARACTER_BYTES = 4


class LineError(Exception):
    """A line or row is invalid; the message names the fields. Others are not affected."""


class FileError(Exception):
    """The file cannot be read, or not any further; the message is one sentence."""


class PackageMissing(FileError):
    """An optional package is not installed.

    Args:
        user: what needs it, with its verb.
        package: its name.
        extra: the extra of Akin that installs it.
        cause: why it could not be imported.
    """

    def __init__(self, user: str, package: str, extra: str, cause: ImportError) -> None:
        super().__init__(f"{user} {package}: {describe_installation(extra)} ({cause})")


class Row(NamedTuple):
    """A line of a text file or a row of a table.

    Attributes:
        number: number of the line at which it starts, or of the row in Parquet, from 1.
        value: its JSON value, or why it has none. Rows of tables are dicts by column.
    """

    number: int
    value: object | LineError


class Records(NamedTuple):
    """The content of a file.

    Attributes:
        rows: the rows, in order. The iterator raises FileError if it cannot continue.
        columns: names of the columns of a table; None if the file contains JSON.
        is_text: the cells are strings without a type, as in CSV.
    """

    rows: Iterator[Row]
    columns: Sequence[str] | None = None
    is_text: bool = False


def check_columns(columns: Sequence[str]) -> None:
    """Check that the columns of a table have different names, except for those without a name.

    Raises:
        FileError: they have not.
    """
    for name, count in Counter(columns).items():
        if count > 1 and name:
            raise FileError(f"{count} columns have the name {name}")


def exceeds_bytes(text: str, max_bytes: int) -> bool:
    """Does a text have more bytes in UTF-8 than the limit?"""
    return len(text) > max_bytes // _MAX_CHARACTER_BYTES and (
        len(text.encode(errors="surrogateescape")) > max_bytes
    )


def check_encoding(text: str) -> None:
    """Check that a text, decoded with `surrogateescape`, was UTF-8.

    Raises:
        LineError: it was not.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        byte = ord(text[exc.start]) & 0xFF
        raise LineError(f"not UTF-8: byte 0x{byte:02x}; convert the file to UTF-8") from None
