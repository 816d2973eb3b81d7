from typing import Any

import pytest

from service.cli.formats.rows import LineError
from service.cli.interaction_times import parse_time_us

# 2015-06-02T05:02:12.117Z
SECONDS = 1_433_221_332
US = SECONDS * 1_000_000 + 117_000


@pytest.mark.parametrize(
    "value",
    [
        1_433_221_332.117,
        "1433221332.117",
        1_433_221_332_117,
        "1433221332117",
        " 1433221332117 ",
        1_433_221_332_117_000,
        "1433221332117000000",
        "2015-06-02T05:02:12.117Z",
        "2015-06-02T07:02:12.117+02:00",
        "2015-06-02 05:02:12.117",
        "2015-06-02 05:02:12.117 UTC",
    ],
)
def test_one_time_has_many_forms(value: Any) -> None:
    """Numbers since 1970 in four units, and dates with and without a zone, are the same time."""
    assert US == parse_time_us(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (SECONDS, SECONDS),
        ("2015-06-02", 1_433_203_200),
        ("20150602", 1_433_203_200),
        (20150602, 1_433_203_200),
        ("1969-12-31T23:00:00-02:00", 3600),
        (99_999_999_999, 99_999_999_999),
        (100_000_000_000, 100_000_000),
    ],
)
def test_times_are_exact(value: Any, seconds: int) -> None:
    """Days begin at midnight in UTC, and a number of eight digits can be a day."""
    assert seconds * 1_000_000 == parse_time_us(value)


def test_microseconds_are_kept() -> None:
    """No form of a time loses microseconds, so that a second import finds the same time."""
    for us in range(US, US + 1_000):
        seconds = f"{us // 1_000_000}.{us % 1_000_000:06}"
        assert [us] * 3 == [parse_time_us(form) for form in (us, str(us), seconds)]


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-1",
        "yesterday",
        "12/31/2019",
        "20151332",
        True,
        float("nan"),
        float("inf"),
        [SECONDS],
        10**30,
        10**4_000,
        "9" * 5_000,
        f"{'9' * 400}.5",
        1e300,
        "2015-06-02" + " " * 5_000 + "x",
        "1e9",
        "1969-12-31",
        "٢٠١٥",
        "",
        " ",
    ],
)
def test_other_values_are_refused(value: Any) -> None:
    """A value that is no time from 1970 on fails, and the error has the forms that are accepted."""
    with pytest.raises(LineError, match="time: must be a number since 1970 or a date"):
        parse_time_us(value)
