"""Decides which graph segments to rebuild as one, so that searches visit few and none is stale.

New vectors are built into a graph together with the graphs that are not much larger, of which the
largest grows: so a vector is linked about twice in its life, and a search visits a few graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# A graph is rebuilt with new vectors if it is at most this many times larger than they are.
MERGE_FACTOR = 4

# The same while nothing is being written.
QUIET_MERGE_FACTOR = 20

# A graph whose share of deleted rows is larger is rebuilt.
MAX_DELETED_SHARE = 0.25


class SegmentRows(NamedTuple):
    """How many rows of a graph segment are live, and how many are deleted."""

    live: int
    deleted: int

    @property
    def is_stale(self) -> bool:
        """Whether too many rows are deleted."""
        return self.deleted > MAX_DELETED_SHARE * (self.live + self.deleted)


def choose_merge(
    segments: Mapping[int, SegmentRows], new: int, min_new: int, *, quiet: bool
) -> set[int] | None:
    """Return the numbers of the segments to rebuild with the new vectors; None for no build.

    Args:
        segments: the graph segments by number.
        new: the number of vectors that are in no graph.
        min_new: from this number on, new vectors are built in.
        quiet: nothing is being written, so that there is time to build more.
    """
    factor = QUIET_MERGE_FACTOR if quiet else MERGE_FACTOR
    chosen = {number for number, rows in segments.items() if rows.is_stale}
    has_stale = bool(chosen)
    total = new + sum(segments[number].live for number in chosen)
    for number, rows in sorted(segments.items(), key=lambda item: item[1].live):
        # Without writes, the smallest graph is merged although nothing is new.
        starts_merge = quiet and not total
        if number not in chosen and (starts_merge or rows.live <= factor * total):
            chosen.add(number)
            total += rows.live
    is_worthwhile = len(chosen) > 1 or (bool(chosen) and new * QUIET_MERGE_FACTOR >= total)
    if new >= min_new or has_stale or (quiet and is_worthwhile):
        return chosen
    return None
