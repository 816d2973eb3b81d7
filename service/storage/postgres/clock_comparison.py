"""The difference between the clocks of this machine and of the database server."""

from __future__ import annotations

import structlog

# A smaller difference is not reported.
REPORTED_DIFFERENCE_US = 1_000_000


class ClockComparison:
    """Reports if the two clocks differ, once for each difference."""

    def __init__(self) -> None:
        self._reported_us = 0

    def compare(self, before_us: int, server_us: int, after_us: int) -> None:
        """Log the difference unless it is small, or nearly that of the last report.

        Args:
            before_us: the time here before the server was asked, in microseconds since 1970 UTC.
            server_us: that of the server.
            after_us: that here when the answer came.
        """
        difference_us = max(before_us - server_us, 0) + min(after_us - server_us, 0)
        if abs(difference_us - self._reported_us) <= REPORTED_DIFFERENCE_US:
            return
        self._reported_us = difference_us
        if abs(difference_us) > REPORTED_DIFFERENCE_US:
            # Positive if the clock of this machine is ahead.
            structlog.get_logger().warning(
                "clock_differs", seconds=round(difference_us / 1_000_000, 1)
            )
