"""Failures of an import: the first ones of each kind, and how many more there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import NamedTuple

# Failures of one kind that are kept, so that a million bad lines fit into memory and on a screen.
MAX_FAILURES = 100

# Bounds the number of kinds: messages that name fields can all be different.
_MAX_KINDS = 100

# What differs between the messages of alike failures.
_NUMBER = re.compile(r"\d[\d.]*")

_OTHER_KIND = ("OTHER", "other errors")


class Failure(NamedTuple):
    """A line that was not stored; `reason` is INVALID_LINE or an ErrorInfo reason."""

    line: int
    reason: str
    message: str

    def __str__(self) -> str:
        """Return the failure as one line of text."""
        return f"line {self.line}: {self.reason}: {self.message}"


class FurtherFailures(NamedTuple):
    """Failures that are only counted, like one that is listed."""

    further_count: int
    reason: str
    message: str

    def __str__(self) -> str:
        """Return the failures as one line of text."""
        return f"and {self.further_count} more: {self.reason}: {self.message}"


class ImportFailures:
    """Collects failures; the methods may run in several threads."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._messages: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def add(self, failure: Failure) -> None:
        """Add a failure."""
        kind = (failure.reason, _NUMBER.sub("#", failure.message))
        with self._lock:
            if kind not in self._counts and len(self._counts) >= _MAX_KINDS:
                kind = _OTHER_KIND
            self._counts[kind] += 1
            if self._counts[kind] <= MAX_FAILURES:
                self._failures.append(failure)
                self._messages[kind] = failure.message if kind != _OTHER_KIND else kind[1]

    def __len__(self) -> int:
        """Return the number of all failures."""
        return self._counts.total()

    def __iter__(self) -> Iterator[Failure]:
        """Yield the first failures of each kind by line."""
        return iter(sorted(self._failures))

    def further(self) -> list[FurtherFailures]:
        """Return the kinds with more failures than are listed."""
        return [
            FurtherFailures(count - MAX_FAILURES, kind[0], self._messages[kind])
            for kind, count in self._counts.items()
            if count > MAX_FAILURES
        ]
