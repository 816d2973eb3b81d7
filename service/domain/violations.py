"""An invalid field of a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """An invalid field and the rule that it breaks; never contains the caller's text."""

    field: str
    description: str
