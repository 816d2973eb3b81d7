"""Times of imported interactions: numbers since 1970, and dates."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from service.cli.formats.rows import LineError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_US_PER_SECOND = 1_000_000

# Numbers below each bound are in units of so many microseconds. Seconds reach the year 5138, and
# milliseconds, microseconds and nanoseconds begin in 1973.
_SECONDS_BOUND = 10**11
_MILLISECONDS_BOUND = 10**14
_MICROSECONDS_BOUND = 10**17

# The first microsecond that a Timestamp of protobuf cannot hold: the year 10000.
_END_US = 253_402_300_800 * _US_PER_SECOND

# As a number of seconds, a day of this form would lie in 1970.
_COMPACT_DATE = re.compile(r"(19|20)\d{6}", re.ASCII)

# Longer texts are no times.
_MAX_CHARACTERS = 64

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


def parse_time_us(value: object) -> int:
    """Return a time in microseconds since 1970.

    Args:
        value: seconds, milliseconds, microseconds or nanoseconds since 1970, as a number or as
            text; or a date and time as in ISO 8601 or RFC 3339. Without a time zone it is in UTC.

    Raises:
        LineError: the value is not a time from 1970 to 9999.
    """
    time_us = -1
    if isinstance(value, str):
        time_us = _parse_text(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        time_us = _parse_text(str(value)) if value >= 0 else -1
    elif isinstance(value, float) and 0 <= value < math.inf:
        time_us = _to_us(value)
    if not 0 <= time_us < _END_US:
        raise LineError(
            "time: must be a number since 1970 or a date, such as 1767312000 or "
            "2026-01-02T00:00:00Z"
        )
    return time_us


def _parse_text(text: str) -> int:
    """Return a time in microseconds; a negative number if the text is not a time."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        return -1
    if text.isdecimal() and text.isascii() and not _COMPACT_DATE.fullmatch(text):
        return _to_us(int(text))
    if "." in text and _NUMBER.fullmatch(text):
        return _to_us(float(text))
    try:
        # Some exports write the name of the time zone.
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        return (time - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return -1


def _to_us(number: float) -> int:
    if number < _SECONDS_BOUND:
        return round(number * _US_PER_SECOND)
    if number < _MILLISECONDS_BOUND:
        return round(number * 1_000)
    if number < _MICROSECONDS_BOUND:
        return round(number)
    return int(number // 1_000)
