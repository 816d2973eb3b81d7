"""Between timestamps and microseconds since 1970 UTC."""

from __future__ import annotations

from google.protobuf import timestamp_pb2

from service.domain.violations import Violation

LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, where Timestamp ends
NANOS_PER_SECOND = 1_000_000_000


def read_time(time: timestamp_pb2.Timestamp, path: str, violations: list[Violation]) -> int | None:
    """Return a time in microseconds since 1970 UTC; one out of range is added to `violations`."""
    if 0 <= time.seconds <= LAST_SECOND and 0 <= time.nanos < NANOS_PER_SECOND:
        return time.seconds * 1_000_000 + time.nanos // 1_000
    violations.append(Violation(path, "must be a time between the years 1970 and 9999"))
    return None


def timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    """Return the message of a time in microseconds since 1970 UTC."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1_000)
