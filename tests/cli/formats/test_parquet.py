import io
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, LineError


def write(columns: dict[str, Any]) -> bytes:
    """Return a Parquet file of these columns."""
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def read(tmp_path: Path, content: bytes) -> list[Any]:
    file = tmp_path / "file"
    file.write_bytes(content)
    return [
        (number, str(value) if isinstance(value, LineError) else value)
        for number, value in open_records(str(file)).rows
    ]


def test_values_become_json(tmp_path: Path) -> None:
    """Numbers, text, times, decimals, lists, maps and nulls become JSON values."""
    rows = read(
        tmp_path,
        write(
            {
                "id": [7, 8],
                "text": ["tea", None],
                "price": pa.array([Decimal("9.99"), Decimal("5.00")]),
                "tags": [["a", "b"], []],
                "size": [{"w": 1.5}, None],
                "at": [datetime(2030, 1, 2, 3, tzinfo=UTC), None],
                "day": [date(2030, 1, 2), None],
                "new": [True, None],
            }
        ),
    )
    assert [
        (
            1,
            {
                "id": 7,
                "text": "tea",
                "price": 9.99,
                "tags": ["a", "b"],
                "size": {"w": 1.5},
                "at": "2030-01-02T03:00:00+00:00",
                "day": "2030-01-02",
                "new": True,
            },
        ),
        (
            2,
            dict.fromkeys(("text", "size", "at", "day", "new")) | {"id": 8, "price": 5, "tags": []},
        ),
    ] == rows


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"raw", "a: has the type bytes, which JSON lacks"),
        (float("nan"), "a: nan cannot be stored; use null"),
        (timedelta(1), "a: has the type timedelta, which JSON lacks"),
        (Decimal("0.12345678901234567890"), "a: the number 0.12345678901234567890 cannot be"),
    ],
)
def test_a_value_without_equal_fails_its_row(tmp_path: Path, value: Any, problem: str) -> None:
    """A value that JSON cannot represent fails its row, and no other."""
    first, second = read(tmp_path, write({"a": [value, None]}))
    assert (1, (2, {"a": None})) == (first[0], second)
    assert first[1].startswith(problem)


@pytest.mark.parametrize(
    ("value", "arrow_type"),
    [
        (1_893_456_000_123_456_789, pa.timestamp("ns")),
        (10**15, pa.timestamp("ms")),
        (2**31 - 1, pa.date32()),
        (1, pa.time64("ns")),
    ],
    ids=str,
)
def test_a_time_that_python_lacks_fails_its_row(
    tmp_path: Path, value: int, arrow_type: pa.DataType
) -> None:
    """Times with nanoseconds or after the year 9999 do not affect the other rows and columns."""
    content = write({"id": ["a", "b"], "at": pa.array([value, None], type=arrow_type)})
    (_, problem), second = read(tmp_path, content)
    assert problem.startswith("at: this value of the type ")
    assert (2, {"id": "b", "at": None}) == second


def test_columns_with_one_name_are_refused(tmp_path: Path) -> None:
    """A file in which two columns have the same name is refused, as rows could keep only one."""
    buffer = io.BytesIO()
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], ["id", "p", "p"])
    parquet.write_table(table, buffer)
    with pytest.raises(FileError, match="2 columns have the name p"):
        read(tmp_path, buffer.getvalue())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file that is cut off is refused in one sentence."""
    with pytest.raises(FileError, match="the Parquet file is damaged") as caught:
        read(tmp_path, write({"a": list(range(1_000))})[:-50])
    assert "\n" not in str(caught.value)


def test_the_extra_is_named_without_pyarrow(tmp_path: Path) -> None:
    """Without pyarrow, a Parquet file is refused with the command that installs it."""
    file = tmp_path / "items.parquet"
    file.write_bytes(write({"id": ["a"], "text": ["tea"]}))
    program = (
        "import sys; sys.modules['pyarrow'] = None; from service.cli.main import app; "
        f"app(['import', {str(file)!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (2, "") == (result.returncode, result.stdout)
    assert "pip install '.[parquet]' in a checkout" in result.stderr
    assert 1 == result.stderr.count("\n")
