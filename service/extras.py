"""The extras of this package: groups of optional dependencies."""

from __future__ import annotations


def describe_installation(extra: str) -> str:
    """Return the commands that install an extra, for a message that it is missing."""
    return f"pip install '.[{extra}]' in a checkout, pip install 'akin-service[{extra}]' elsewhere"
