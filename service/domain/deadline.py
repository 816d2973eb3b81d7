"""When the present call must be answered, for those who wait on its behalf."""

from __future__ import annotations

from contextvars import ContextVar

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""On the clock of time.monotonic, in seconds; None: no matter how long."""
