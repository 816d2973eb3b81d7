"""How to search one graph: walk it, or compare the query with every row that may be found.

A walk that may return only some of the nodes has to see as many more of them, so a filter makes it
dearer, while it makes a scan cheaper. Both costs are estimated, and the cheaper one is taken; so
recall does not collapse where the filter is narrow (a walk of fixed breadth: 0.95 where a filter
keeps 10% of 63,666 package descriptions, 0.34 where it keeps 0.5%).
"""

from __future__ import annotations

from typing import NamedTuple

BREADTH = 100
"""Candidates a walk keeps (efSearch). With M=16 and efConstruction=200, 100,000 package
descriptions and 256 dimensions: recall@10 by score 0.981 with 64, 0.988 with 128, at 0.2 to 0.4
ms."""

FILTERED_BREADTH = 150
"""The same where a filter hides some: what may be found is less well connected (at 63,000 items and
half of them hidden, recall 0.973 with 80)."""

BREADTH_PER_RESULT = 2
STEP_NS = 2_500
"""A walk per candidate kept: 32 neighbours, most of them seen before."""

COMPARE_NS = 0.8
"""Fetching and comparing one number of one vector: 1.4 ms for 6,600 of 63,000 vectors, 3.1 ms for
12,600."""

CHECK_NS = 2.0
"""Telling of one row whether it may be found."""


class Plan(NamedTuple):
    """How to search: `breadth` candidates of a walk, or 0 for a scan; and what it costs."""

    breadth: int
    cost_ns: float


def plan(rows: int, allowed: int, limit: int, dimensions: int, *, exact: bool) -> Plan:
    """The cheaper way to find the `limit` nearest of the `allowed` ones among `rows` vectors."""
    scan = Plan(0, rows * CHECK_NS + allowed * dimensions * COMPARE_NS)
    if exact or not allowed:
        return scan
    least = BREADTH if allowed == rows else FILTERED_BREADTH
    breadth = max(least, BREADTH_PER_RESULT * limit) * rows // allowed
    walk = Plan(breadth, breadth * STEP_NS)
    return min(scan, walk, key=lambda each: each.cost_ns)
