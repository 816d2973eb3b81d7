"""Errors of the input of an evaluation."""

from __future__ import annotations

from pathlib import Path

# Invalid lines of a file that are listed; further ones are only counted.
MAX_LISTED_LINES = 20


class EvaluationError(Exception):
    """The input cannot be evaluated.

    Args:
        messages: say why, each in one line.
    """

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


class InvalidLines:
    """Collects the invalid lines of a file, so that one error reports all of them.

    Args:
        path: the file.

    Attributes:
        count: the number of invalid lines, also of those that are not listed.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._messages: list[str] = []

    def add(self, number: int, problem: object) -> None:
        """Add a line and what is wrong with it."""
        self.count += 1
        if len(self._messages) < MAX_LISTED_LINES:
            self._messages.append(f"{self._path}, line {number}: {problem}")

    def check(self, *file_problems: str) -> None:
        """Check that no line is invalid.

        Args:
            file_problems: what is wrong with the file besides, each in one line.

        Raises:
            EvaluationError: lines are invalid, or the file has a problem; the messages list all.
        """
        if not self.count and not file_problems:
            return
        more = self.count - len(self._messages)
        raise EvaluationError(
            *self._messages,
            *([f"{more:,} more in {self._path}"] if more else []),
            *file_problems,
        )
