"""Work that large indexes have done aside: graphs, and lists of neighbours in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from service.index.base import Mask, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph import GraphPart, built

BATCH = 1_024
"""Rows between which a build can be stopped: 0.4 s."""


Block = tuple[NDArray[np.int32], Callable[[slice], Vectors], Mask]
"""Keys, their vectors by rows, and which rows are not void."""


class GraphBuild:
    """Builds one graph from a frozen exact part and from graphs.

    `changed` gathers the keys that are written while it runs: their rows are outdated.
    """

    def __init__(
        self, dimensions: int, frozen: ExactIndex, parts: dict[int, GraphPart], *, half: bool
    ) -> None:
        self.changed: set[int] = set()
        self.parts = parts
        self._dimensions = dimensions
        self._half = half
        # Copied now: the originals go on changing.
        self._blocks: list[Block] = [
            *_sorted_copy(frozen),
            *((part.keys, part.vectors, part.alive.copy()) for part in parts.values()),
        ]
        self.part: GraphPart
        self._stopped = False

    def run(self) -> None:
        """Builds; takes 0.4 ms a vector."""
        graph = built(self._dimensions, self._batches(), half=self._half)
        if self._stopped:
            return
        keys = [keys[alive] for keys, _, alive in self._blocks]
        self.part = GraphPart(graph, np.concatenate(keys) if keys else np.empty(0, np.int32))

    def stop(self) -> None:
        """Has `run` end after the batch it is at."""
        self._stopped = True

    def _batches(self) -> Iterator[Vectors]:
        for keys, vectors, alive in self._blocks:
            for start in range(0, len(keys), BATCH):
                if self._stopped:
                    return
                some = slice(start, start + BATCH)
                yield vectors(some)[alive[some]]


class ListBuild:
    """Lists the neighbours of some more rows of one graph."""

    def __init__(self, part: GraphPart) -> None:
        self.part = part
        self.listed_rows = part.listed_rows

    def run(self) -> None:
        """Lists; takes 0.4 s."""
        self.listed_rows = self.part.list_rows(BATCH)

    def stop(self) -> None:
        """Nothing: it is short."""


def _sorted_copy(exact: ExactIndex) -> Iterator[Block]:
    """The keys and vectors of an exact part, those of one key beside each other."""
    for keys, vectors in exact.blocks(exact.figures().vectors or 1):
        order = np.argsort(keys, kind="stable")
        copied = vectors[order]
        yield keys[order].astype(np.int32), copied.__getitem__, np.ones(len(keys), np.bool_)
