"""Chooses how to search one graph segment: through the graph, by PQ codes, or by a full scan.

A graph search finds what is near the query, whether or not it may be a hit. That does not help if a
filter keeps other topics than the query's. With a filter for one Debian section, a tenth of 100,000
package descriptions, a graph search restricted to allowed rows found 0.4 of the ten best at ten
times the breadth. So filtered rows are compared: few of them in full, many by PQ codes first.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

# Candidates that a graph search keeps (efSearch). With M=16 and efConstruction=200, 100,000 package
# descriptions and 256 dimensions: recall@10 by score 0.981 with 64, 0.988 with 128, at 0.2 to 0.4
# ms.
GRAPH_BREADTH = 100

# A larger limit needs more candidates than hits.
GRAPH_BREADTH_PER_RESULT = 2

# Up to this number of rows, all allowed ones are compared, which finds all of the best. A scan of
# 5,000 rows takes 0.19 ms, of 10,000 0.28 ms, and of 20,000 0.42 ms; a graph search 0.1 ms.
MAX_SCANNED_ROWS = 10_000

# If at least this share of the rows is allowed, a graph search that passes through the others finds
# the hits.
MIN_SHARE_FOR_GRAPH_SEARCH = 0.95

# Time of a graph search per candidate: 32 neighbors, most of them seen before.
GRAPH_CANDIDATE_NS = 2_500

# Fetching and comparing one number of one vector: 1.4 ms for 6,600 of 63,000 vectors, 3.1 ms for
# 12,600.
COMPARE_NUMBER_NS = 0.8

# Checking whether one row is allowed.
CHECK_ROW_NS = 2.0

# Comparing one dimension's share of one PQ code: 0.75 ms for 100,000 rows of 256 dimensions.
COMPARE_CODE_NS = 0.03

# Fixed time of a comparison by PQ codes, however few it reads.
START_CODES_NS = 250_000

# Rows with the best codes that are compared in full, whatever the limit. With 100,000 package
# descriptions the recall@10 was 0.973 with 400 and half as many codes as below.
COMPARED_ROWS = 600

# Further rows that are compared in full, for each result.
COMPARED_ROWS_PER_RESULT = 10

# The share of allowed rows that are compared by code, nearest list first. With 100,000 package
# descriptions, of which a random filter keeps all, a half, a fifth and a tenth, the recall@10 is
# 0.984, 0.993, 0.997 and 0.999.
CODES_SHARE = 0.4

# The fewest and the most codes compared for each row that is then compared in full.
CODES_PER_COMPARED_ROW = (4, 100)


class SearchMethod(Enum):
    """A way to find the nearest rows of a graph segment."""

    GRAPH = auto()
    PQ_CODES = auto()
    SCAN = auto()


class SearchPlan(NamedTuple):
    """A search method and its estimated time.

    `depth` is the number of candidates that a graph search keeps, or the number of rows with the
    best codes that are compared in full.
    """

    method: SearchMethod
    cost_ns: float
    depth: int = 0


def plan_search(rows: int, allowed: int, limit: int, dimensions: int, *, exact: bool) -> SearchPlan:
    """Choose the cheapest way to find the `limit` nearest of `allowed` ones among `rows` rows."""
    scan = SearchPlan(
        SearchMethod.SCAN, rows * CHECK_ROW_NS + allowed * dimensions * COMPARE_NUMBER_NS
    )
    if exact or not allowed or rows <= MAX_SCANNED_ROWS:
        return scan
    plans = [scan, plan_pq_search(rows, allowed, limit, dimensions)]
    if allowed >= MIN_SHARE_FOR_GRAPH_SEARCH * rows:
        breadth = max(GRAPH_BREADTH, GRAPH_BREADTH_PER_RESULT * limit)
        plans.append(SearchPlan(SearchMethod.GRAPH, breadth * GRAPH_CANDIDATE_NS, breadth))
    return min(plans, key=lambda plan: plan.cost_ns)


def plan_pq_search(rows: int, allowed: int, limit: int, dimensions: int) -> SearchPlan:
    """Plan to compare the codes of the nearest lists, and in full the rows with the best codes."""
    depth = COMPARED_ROWS + COMPARED_ROWS_PER_RESULT * limit
    share = min(1.0, limit_compared_codes(allowed, depth) / allowed)
    codes_ns = rows * share * dimensions * COMPARE_CODE_NS
    rows_ns = depth * dimensions * COMPARE_NUMBER_NS
    return SearchPlan(SearchMethod.PQ_CODES, START_CODES_NS + codes_ns + rows_ns, depth)


def limit_compared_codes(allowed: int, depth: int) -> float:
    """Return how many of the `allowed` rows to compare by code, to compare `depth` in full."""
    fewest_per_row, most_per_row = CODES_PER_COMPARED_ROW
    return min(max(CODES_SHARE * allowed, fewest_per_row * depth), most_per_row * depth)
