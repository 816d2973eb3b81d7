"""The time of day, in the unit that the store uses."""

from __future__ import annotations

import time


def clock_us() -> int:
    """Return the present time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000
