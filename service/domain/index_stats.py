"""The size of a vector index as operators see it."""

from __future__ import annotations

from typing import NamedTuple


class IndexStats(NamedTuple):
    """The numbers of vectors by where they are, and the memory they take."""

    vectors: int  # that searches can find
    graph_vectors: int = 0  # of them, those in graphs
    deleted_vectors: int = 0  # in graphs, and beside `vectors`
    neighbor_lists: int = 0
    building: bool = False
    memory_bytes: int = 0
