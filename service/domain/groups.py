"""Groups of items with the same value of an attribute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain import limits
from service.domain.filters import attribute_violations
from service.domain.violations import Violation


@dataclass(frozen=True, slots=True)
class GroupBy:
    """At most `max_per_group` items with the same value of an attribute are recommended."""

    attribute: str
    max_per_group: int = 1


def group_by_violations(group_by: GroupBy) -> Iterator[Violation]:
    """Validate how a query groups items."""
    yield from attribute_violations(group_by.attribute, "group_by")
    if not 1 <= group_by.max_per_group <= limits.RECOMMENDATIONS:
        rule = f"must be between 0 (for the default) and {limits.RECOMMENDATIONS}"
        yield Violation("group_by.max_per_group", rule)
