"""Waiting for a condition of a real server, which has no event to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable

POLLS = 2_400
POLL_SECONDS = 0.05


def until(holds: Callable[[], bool]) -> None:
    """Ask again and again until the condition holds, and fail in the end."""
    pause = threading.Event()
    assert any(holds() or pause.wait(POLL_SECONDS) for _ in range(POLLS))
