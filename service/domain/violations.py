"""A field at fault in a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault and what is wrong with it; never quotes the caller's text."""

    field: str
    description: str
