"""Writers of the files that `akin export` makes and `akin import` reads back unchanged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from service.cli.console import to_json_line
from service.cli.formats.rows import MAX_LINE_BYTES, FileError, PackageMissing

if TYPE_CHECKING:
    from pyarrow import DataType

FormatName = Literal["jsonl", "csv", "parquet"]

# Formats by the ending of a file's name.
ENDINGS: dict[str, FormatName] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}

FieldValues = Mapping[str, Any]


class RowWriter(Protocol):
    """Writes rows to a stream."""

    def write(self, rows: Iterable[FieldValues]) -> None:
        """Write rows.

        Raises:
            FileError: a row is too long for `akin import`.
            OSError: the stream cannot be written.
        """

    def close(self) -> None:
        """Write the end of the file; the stream stays open."""


class JsonLinesWriter:
    """Writes each row as a line of JSON, without fields that are unset.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, rows: Iterable[FieldValues]) -> None:
        """Write rows; see RowWriter."""
        for row in rows:
            fields = {name: _to_text(value) for name, value in row.items() if value is not None}
            self._stream.write(f"{to_json_line(fields)}\n".encode())

    def close(self) -> None:
        """Write nothing more."""


class CsvWriter:
    """Writes a header, and each row with its lists and objects as JSON.

    Args:
        stream: where to write.
        columns: the columns; unset fields are empty cells.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns
        self._line = io.StringIO(newline="")
        # Its lines end with CRLF: the writer then quotes a cell with either of the two characters.
        self._cells = csv.writer(self._line)
        self._stream.write(self._encode(columns))

    def write(self, rows: Iterable[FieldValues]) -> None:
        """Write rows; see RowWriter."""
        for row in rows:
            line = self._encode([_to_cell(row[column]) for column in self._columns])
            if len(line) > MAX_LINE_BYTES:
                row_id = row.get("id", row.get("user_id"))
                raise FileError(
                    f"the row of {row_id} has {len(line):,} bytes, and akin import reads up to "
                    f"{MAX_LINE_BYTES:,} in CSV; use JSON lines or Parquet"
                )
            self._stream.write(line)

    def close(self) -> None:
        """Write nothing more."""

    def _encode(self, cells: Sequence[str]) -> bytes:
        self._line.seek(0)
        self._line.truncate()
        self._cells.writerow(cells)
        return self._line.getvalue().encode()


class ParquetRowWriter:
    """Writes a Parquet file, with attributes as JSON text, because their types can differ by row.

    Args:
        stream: where to write.
        columns: the columns.

    Raises:
        FileError: pyarrow is not installed.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415  (an extra, and slow to import)
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError as exc:
            raise PackageMissing("Parquet files need", "pyarrow", "parquet", exc) from exc
        types = _list_parquet_types()
        text = pa.string()
        fields = [(column, types.get(column, text)) for column in columns]
        self._schema = pa.schema(fields)
        self._make_table = pa.Table.from_pylist
        self._writer = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, rows: Iterable[FieldValues]) -> None:
        """Write rows; see RowWriter."""
        values = [
            {name: _to_cell(value) if isinstance(value, dict) else value for name, value in pairs}
            for pairs in (row.items() for row in rows)
        ]
        if values:
            self._writer.write_table(self._make_table(values, self._schema))

    def close(self) -> None:
        """Write the description of the file at its end."""
        self._writer.close()


def _list_parquet_types() -> dict[str, DataType]:
    """Return the types of the columns that are not text."""
    import pyarrow as pa  # noqa: PLC0415  (an extra, and slow to import)

    def make_list(key: str) -> DataType:
        entry = [(key, pa.string()), ("weight", pa.float32())]
        return pa.list_(pa.struct(entry))

    time = pa.timestamp("us", tz="UTC")
    return {
        "expire_time": time,
        "time": time,
        "value": pa.float64(),
        "preferences": make_list("text"),
        "liked": make_list("item_id"),
    }


def _to_text(value: object) -> object:
    """Return a time as in RFC 3339, and other values as they are."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _to_cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case float():
            return repr(value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(_to_text(value))
