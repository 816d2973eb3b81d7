"""Parquet files. They need pyarrow, which is an extra and slow to import."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

from service.cli.formats.python_values import to_json_value
from service.cli.formats.rows import (
    FileError,
    LineError,
    PackageMissing,
    Records,
    Row,
    check_columns,
)

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Scalar
    from pyarrow.parquet import ParquetFile

# Rows that are decoded at once.
_BATCH_ROWS = 500


def read_parquet(stream: BinaryIO) -> Records:
    """Return the rows, with values as in JSON.

    Times become text as in RFC 3339, and decimals become numbers. The stream is first copied into a
    temporary file, because the format is read from its end.

    Raises:
        FileError: pyarrow is not installed, the file is damaged, or two columns have one name.
    """
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError as exc:
        raise PackageMissing("Parquet files need", "pyarrow", "parquet", exc) from exc
    failures = (ArrowException, OSError)
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(stream, copy)
        try:
            file = stack.enter_context(parquet.ParquetFile(copy))
        except failures as exc:
            raise FileError(f"the Parquet file is damaged: {_first_line(exc)}") from None
        columns = list(file.schema_arrow.names)
        check_columns(columns)
        return Records(_read_rows(file, failures, stack.pop_all()), columns)


def _read_rows(
    file: ParquetFile, failures: tuple[type[Exception], ...], resources: ExitStack
) -> Iterator[Row]:
    """Yield the rows, and release the resources at the end."""
    with resources:
        yield from _read_batches(file, failures)


def _read_batches(file: ParquetFile, failures: tuple[type[Exception], ...]) -> Iterator[Row]:
    number = 0
    batches = file.iter_batches(_BATCH_ROWS)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except failures as exc:
            raise FileError(
                f"the Parquet file is damaged after row {number}: {_first_line(exc)}"
            ) from None
        for row in _to_rows(batch):
            number += 1
            try:
                yield Row(number, {name: to_json_value(value, name) for name, value in row.items()})
            except LineError as exc:
                yield Row(number, exc)


def _to_rows(batch: RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch, with a LineError in place of each value that Python lacks.

    Such values are times with nanoseconds or after the year 9999, and text that is not UTF-8.
    """
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError):
        cells = [[_to_python(cell) for cell in column] for column in batch.columns]
        rows = [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*cells, strict=True)]
    return rows


def _to_python(cell: Scalar[Any]) -> Any:  # noqa: ANN401  (Arrow has many types)
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        return LineError(f"this value of the type {cell.type} has no equal in JSON; use text")


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
