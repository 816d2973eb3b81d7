"""Writes log lines in a thread, several at a time, so that no call waits for what reads the log."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Lines that are not urgent wait for others for this long. A system call for each line, and waking
# what reads it, took a tenth of the time of a call (measured with bench/throughput.py).
GATHERING_SECONDS = 0.01

# The system writes up to this many bytes to a pipe in one piece (PIPE_BUF on Linux): the lines of
# several workers into one pipe do not mix.
ATOMIC_BYTES = 4_096

# Lines that wait while nothing reads the log: some 3 MB.
MAX_LINES = 10_000

# The longest time to wait for the last lines at the end of a process.
MAX_FLUSH_SECONDS = 1.0


class LogWriter:
    """Writes lines to a file descriptor, in order. Thread-safe.

    Lines that cannot be written are dropped: a full disk or a closed pipe behind the log must not
    fail calls. So are lines beyond MAX_LINES, and their number is reported once there is room.

    Args:
        file_descriptor: where to write.
        report_dropped: is called with the number of lines that were dropped for lack of room.
    """

    def __init__(self, file_descriptor: int, report_dropped: Callable[[int], None]) -> None:
        self._file_descriptor = file_descriptor
        self._report_dropped = report_dropped
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, name="akin-log", daemon=True).start()

    def write(self, line: bytes, *, is_urgent: bool) -> None:
        """Write a line, which ends with a line break; at once if it is urgent, or soon."""
        if len(self._lines) >= MAX_LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if is_urgent:
            self._hurry.set()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Wait until all lines are written, but not for long."""
        if self._writing.acquire(timeout=MAX_FLUSH_SECONDS):
            try:
                self._write_lines()
            finally:
                self._writing.release()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(GATHERING_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            with self._writing:
                self._write_lines()
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._report_dropped(dropped)

    def _write_lines(self) -> None:
        while self._lines:
            piece = [self._lines.popleft()]
            size = len(piece[0])
            while self._lines and size + len(self._lines[0]) <= ATOMIC_BYTES:
                piece.append(self._lines.popleft())
                size += len(piece[-1])
            with suppress(OSError):
                _write_all(self._file_descriptor, b"".join(piece))


def _write_all(file_descriptor: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(file_descriptor, data[written:])
