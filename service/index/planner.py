"""How to search one graph: walk it, or compare with what may be found, by codes or in full.

A walk finds what is near to the query, whether or not it may be found: no help where a filter keeps
other subjects than the query's. With a filter for one Debian section, a tenth of 100,000 package
descriptions, walking only over what passes found 0.4 of the ten best at ten times the breadth. So
what is filtered is compared: in full where it is little, by short codes first where it is much.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

BREADTH = 100
"""Candidates a walk keeps (efSearch). With M=16 and efConstruction=200, 100,000 package
descriptions and 256 dimensions: recall@10 by score 0.981 with 64, 0.988 with 128, at 0.2 to 0.4
ms."""

BREADTH_PER_RESULT = 2
WALKED_SHARE = 0.95
"""Where at least this share may be found, a walk that passes through the others finds it."""

STEP_NS = 2_500
"""A walk per candidate kept: 32 neighbors, most of them seen before."""

COMPARE_NS = 0.8
"""Fetching and comparing one number of one vector: 1.4 ms for 6,600 of 63,000 vectors, 3.1 ms for
12,600."""

CHECK_NS = 2.0
"""Telling of one row whether it may be found."""

CODE_NS = 0.03
"""Comparing one number's share of one code: 0.75 ms for 100,000 rows of 256 dimensions."""

CODES_START_NS = 250_000
"""What a comparison by codes takes however little it reads."""

COMPARED = 600
COMPARED_PER_RESULT = 10
"""So many rows, the best by code, are compared in full."""

SEEN_SHARE = 0.4
SEEN_PER_COMPARED = (4, 100)
"""This share of the rows that may be found is compared by code, list by list, nearest first; at
least and at most so many times as many as are then compared in full. With 100,000 package
descriptions, of which a random filter keeps all, a half, a fifth and a tenth, the recall@10 is
0.984, 0.993, 0.997 and 0.999; comparing 400, and half as many by code, 0.973 for all."""


class Way(Enum):
    """How to find the nearest."""

    WALK = auto()
    CODES = auto()
    SCAN = auto()


class Plan(NamedTuple):
    """How to search, and what it costs.

    A walk keeps `depth` candidates; of codes the best `depth` are compared in full.
    """

    way: Way
    cost_ns: float
    depth: int = 0


def plan(rows: int, allowed: int, limit: int, dimensions: int, *, exact: bool) -> Plan:
    """The cheapest way to find the `limit` nearest of the `allowed` ones among `rows` vectors."""
    scan = Plan(Way.SCAN, rows * CHECK_NS + allowed * dimensions * COMPARE_NS)
    if exact or not allowed:
        return scan
    ways = [scan, by_codes(rows, allowed, limit, dimensions)]
    if allowed >= WALKED_SHARE * rows:
        breadth = max(BREADTH, BREADTH_PER_RESULT * limit)
        ways.append(Plan(Way.WALK, breadth * STEP_NS, breadth))
    return min(ways, key=lambda each: each.cost_ns)


def by_codes(rows: int, allowed: int, limit: int, dimensions: int) -> Plan:
    """A comparison by codes with the nearest lists, and in full with the best of them."""
    depth = COMPARED + COMPARED_PER_RESULT * limit
    share = min(1.0, enough(allowed, depth) / allowed)
    read_ns = rows * share * dimensions * CODE_NS
    compared_ns = depth * dimensions * COMPARE_NS
    return Plan(Way.CODES, CODES_START_NS + read_ns + compared_ns, depth)


def enough(allowed: int, depth: int) -> float:
    """How many of the `allowed` rows to compare by code, for `depth` to compare in full."""
    least, most = SEEN_PER_COMPARED
    return min(max(SEEN_SHARE * allowed, least * depth), most * depth)
