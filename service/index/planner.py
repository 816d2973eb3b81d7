"""Chooses how to search one graph segment: through the graph, by PQ codes, or by a full scan.

A graph search finds what is near the query, whether or not it may be a hit. That does not help if a
filter keeps other topics than the query's. With a filter for one Debian section, a tenth of 100,000
package descriptions, a graph search restricted to allowed rows found 0.4 of the ten best at ten
times the breadth. So filtered rows are compared: few of them in full, many by PQ codes first.
"""

from __future__ import annotations

import math
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

# The same for a query whose surroundings are allowed as often as the rest. A graph search that
# passes through half of the rows takes twice as long. At a million package descriptions, of which a
# random half is allowed: recall@10 0.995 in 1.3 ms, 0.985 in 1.9 ms by PQ codes.
MIN_SHARE_FOR_NEAR_GRAPH_SEARCH = 0.4

# Breadth of such a search before it is divided by the share.
NEAR_GRAPH_BREADTH = 150

# Time of a graph search per candidate: 32 neighbors, most of them seen before.
GRAPH_CANDIDATE_NS = 2_500

# Fetching and comparing one number of one vector: 1.4 ms for 6,600 of 63,000 vectors, 3.1 ms for
# 12,600.
COMPARE_NUMBER_NS = 0.8

# Checking whether one row is allowed.
CHECK_ROW_NS = 2.0

# Up to this share of the rows, gathering them is faster than FAISS's scan with a mask.
MAX_GATHERED_SHARE = 0.1

# Comparing one dimension's share of one PQ code: 0.75 ms for 100,000 rows of 256 dimensions.
COMPARE_CODE_NS = 0.03

# Fixed time of a comparison by PQ codes, however few it reads.
START_CODES_NS = 250_000

# Codes that are read, those of the lists nearest to the query: this times the square root of the
# number of rows, 25,000 of 100,000 and 80,000 of a million.
CODES_PER_ROOT_ROW = 80

# More are read until this many of them are of allowed rows, and this many for each result.
MIN_COMPARED_CODES = 1_000
COMPARED_CODES_PER_RESULT = 30

# Rows with the best codes that are compared in full: a share of those compared by code, within a
# least and a largest number, and at least this many for each result. With these constants, the
# recall@10 of 100,000 and of a million package descriptions, of which a filter keeps 1% to 50%, is
# 0.98 to 1.0.
COMPARED_ROWS_SHARE = 0.15
MIN_COMPARED_ROWS = 300
COMPARED_ROWS_PER_RESULT = 10
MAX_COMPARED_ROWS = 2_000


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
    checks_ns = rows * CHECK_ROW_NS if allowed > MAX_GATHERED_SHARE * rows else 0.0
    scan = SearchPlan(SearchMethod.SCAN, checks_ns + allowed * dimensions * COMPARE_NUMBER_NS)
    if exact or not allowed or rows <= MAX_SCANNED_ROWS:
        return scan
    plans = [scan, plan_pq_search(rows, allowed, limit, dimensions)]
    if allowed >= MIN_SHARE_FOR_GRAPH_SEARCH * rows:
        breadth = max(GRAPH_BREADTH, GRAPH_BREADTH_PER_RESULT * limit)
        plans.append(SearchPlan(SearchMethod.GRAPH, breadth * GRAPH_CANDIDATE_NS, breadth))
    return min(plans, key=lambda plan: plan.cost_ns)


def plan_pq_search(rows: int, allowed: int, limit: int, dimensions: int) -> SearchPlan:
    """Plan to compare the codes of the nearest lists, and in full the rows with the best codes."""
    targets = CodeTargets.choose(rows, limit)
    share = min(1.0, max(targets.read / rows, targets.allowed / allowed))
    depth = count_compared_rows(int(share * allowed), limit)
    codes_ns = rows * share * dimensions * COMPARE_CODE_NS
    rows_ns = depth * dimensions * COMPARE_NUMBER_NS
    return SearchPlan(SearchMethod.PQ_CODES, START_CODES_NS + codes_ns + rows_ns, depth)


class CodeTargets(NamedTuple):
    """How many PQ codes to read, and how many of them must be of allowed rows."""

    read: float
    allowed: int

    @classmethod
    def choose(cls, rows: int, limit: int) -> CodeTargets:
        """Return the targets for the `limit` nearest among `rows` rows."""
        allowed = max(MIN_COMPARED_CODES, COMPARED_CODES_PER_RESULT * limit)
        return cls(CODES_PER_ROOT_ROW * math.sqrt(rows), allowed)


def count_compared_rows(codes: int, limit: int) -> int:
    """Return how many rows to compare in full if `codes` allowed ones are compared by code."""
    fewest = max(MIN_COMPARED_ROWS, COMPARED_ROWS_PER_RESULT * limit)
    return max(fewest, min(int(COMPARED_ROWS_SHARE * codes), MAX_COMPARED_ROWS))
