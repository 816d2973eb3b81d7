"""An index for catalogs of any size: a small exact part for what is new, graphs for the rest.

Writes go to the exact part, which is searched whole. Once it is large it is frozen, a graph is
built aside over it and over the smaller graphs, and takes their place; until then they go on
serving. So a vector is built into about log(n) graphs in its life, and a search visits a few graphs
at most.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import faiss
import numpy as np

from service.domain.stats import IndexStats
from service.index.faiss_builds import GraphBuild, ListBuild
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph import GraphPart, is_graph
from service.index.planner import BREADTH, STEP_NS
from service.index.vector_index import Build, Hits, IndexState, Keys, Mask, Owned, Vectors, merged

GRAPH_FROM = 20_000
"""Vectors from which on there are graphs: a graph is then walked in half the time of a scan."""

FRESH = 8_000
"""New vectors, beside graphs, from which on they are built in: scanning them takes 0.2 ms."""

MERGE_FACTOR = 4
QUIET_MERGE_FACTOR = 20
"""A graph is built anew together with what is new if it is at most so many times as large."""

VOID_SHARE = 0.25
"""A graph with more void rows than this is built anew."""

MULTIPLY_ADDS_PER_NS = 10
_NOWHERE, _FRESH, _FROZEN = -1, -2, -3


class TieredIndex:
    """A VectorIndex of an exact part and graphs.

    Args:
        dimensions: the width of every vector.
        half: keep the vectors in graphs as float16, which takes half the memory.
        graph_from: how many vectors there must be for the first graph.
        fresh: how many new ones there must be for the next.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        half: bool = False,
        graph_from: int = GRAPH_FROM,
        fresh: int = FRESH,
    ) -> None:
        self.dimensions = dimensions
        self._half = half
        self._graph_from = graph_from
        self._fresh_most = fresh
        self._fresh = ExactIndex(dimensions)
        self._frozen: ExactIndex | None = None
        self._parts: dict[int, GraphPart] = {}
        self._next_part = 0
        self._building: GraphBuild | None = None
        self._listing = False
        # By key: the number of its part, or where else it is, and the first of its rows there.
        self._home = array("i")
        self._row = array("i")
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def __contains__(self, key: int) -> bool:
        """Whether it holds a key."""
        return key < len(self._home) and self._home[key] != _NOWHERE

    def keys(self) -> Keys:
        """All keys, each once."""
        return np.flatnonzero(np.asarray(self._home) != _NOWHERE)

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replaces all vectors of each key; a key comes once for each of its vectors."""
        distinct = dict.fromkeys(keys)
        self.delete([key for key in distinct if key in self and self._home[key] != _FRESH])
        self._fresh.upsert(keys, vectors)
        self._reserve(max(distinct, default=-1) + 1)
        for key in distinct:
            self._number += self._home[key] == _NOWHERE
            self._home[key] = _FRESH
        if self._building is not None:
            self._building.changed.update(distinct)

    def delete(self, keys: Collection[int]) -> None:
        """Removes keys; those that are not there are no error."""
        for key in keys:
            if key not in self:
                continue
            home = self._home[key]
            if home == _FRESH:
                self._fresh.delete([key])
            elif home == _FROZEN and self._frozen is not None:
                self._frozen.delete([key])
            else:
                self._parts[home].bury(self._row[key])
            self._home[key] = _NOWHERE
            self._number -= 1
            if self._building is not None:
                self._building.changed.add(key)

    def vectors(self, keys: Sequence[int]) -> Owned:
        """A copy of the vectors of keys that are there.

        Raises:
            KeyError: a key is not there.
        """
        found = [self._vectors_of(key) for key in keys]
        if not found:
            return Owned(np.empty((0, self.dimensions), np.float32), np.empty(0, np.int64))
        owners = np.repeat(np.arange(len(keys)), [len(each) for each in found])
        return Owned(np.concatenate(found), owners)

    def blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """All keys and vectors, `rows` at a time; not to be kept or changed."""
        for segment in self._segments():
            yield from segment.blocks(rows)

    def mean(self) -> Vectors:
        """The mean of all vectors, float32 [dimensions]; zeros while it is empty."""
        total = np.zeros(self.dimensions)
        if not len(self):
            return total.astype(np.float32)  # without what rounding left behind
        for exact in self._exact_parts():
            total += exact.sum
        for part in self._parts.values():
            total += part.sum
        mean: Vectors = (total / max(self.stats().vectors, 1)).astype(np.float32)
        return mean

    def sample(self, rows: int) -> Vectors:
        """Up to `rows` vectors, evenly spread over the largest part; not to be kept or changed."""
        if not self._parts:
            return max(self._exact_parts(), key=len).sample(rows)
        part = max(self._parts.values(), key=len)
        return part.vectors(slice(None, None, -(-len(part.keys) // rows)))

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """The `limit` nearest keys to each of float32 [q, dimensions]."""
        if not limit:
            return [Hits(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        found = self._found(queries, limit, exclude, allowed, exact=exact)
        if len(found) == 1 and not self._parts:
            return found[0]
        return [_together(each, limit) for each in zip(*found, strict=True)]

    def _found(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool = False,
        besides: int = _NOWHERE,
    ) -> list[list[Hits]]:
        """What each part finds, but for the graph `besides`."""
        faiss.omp_set_num_threads(1)  # a setting of each thread
        found = [
            each.search(queries, limit, exclude, allowed)
            for each in self._exact_parts()
            if len(each) or not self._parts
        ]
        for number, part in self._parts.items():
            if number != besides:
                excluded = {key for key in exclude if key in self and self._home[key] == number}
                found.append(part.search(queries, limit, excluded, allowed, exact=exact))
        return found

    def nearest(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """The `limit` nearest keys to any vector of a key that is there, itself left out."""
        excluded = {key, *exclude}
        home = self._home[key]
        found = None
        if home in self._parts and not exact and limit:
            found = self._parts[home].listed(self._row[key], limit, excluded, allowed)
        own = self._vectors_of(key)
        if found is None:
            hits = self.search(own, limit, excluded, allowed, exact=exact)
            return hits[0] if len(hits) == 1 else merged(hits)
        rest = self._found(own, limit, excluded, allowed, besides=home)
        return _together([found, *(each for (each,) in rest)], limit) if rest else found

    def cost(self, queries: int) -> int:
        """About the multiply-adds that a search with so many queries takes."""
        walks = len(self._parts) * BREADTH * STEP_NS * MULTIPLY_ADDS_PER_NS
        return queries * walks + sum(each.cost(queries) for each in self._exact_parts())

    def due(self, *, quiet: bool) -> Build | None:
        """A graph over what is new, the smaller graphs and those with many void rows; or lists."""
        if self._listing or self._building is not None:
            return None
        return self._graph_due(quiet=quiet) or self._lists_due()

    def _lists_due(self) -> ListBuild | None:
        largest = max(self._parts.values(), key=len, default=None)
        if largest is None or largest.listed_rows == len(largest.keys):
            return None
        self._listing = True
        return ListBuild(largest)

    def _graph_due(self, *, quiet: bool) -> GraphBuild | None:
        new = self._fresh.stats().vectors
        factor = QUIET_MERGE_FACTOR if quiet else MERGE_FACTOR
        chosen = {
            number
            for number, part in self._parts.items()
            if part.void > VOID_SHARE * len(part.keys)
        }
        total = new + sum(len(self._parts[number]) for number in chosen)
        for number, part in sorted(self._parts.items(), key=lambda each: len(each[1])):
            if number not in chosen and len(part) <= factor * total:
                chosen.add(number)
                total += len(part)
        enough = new >= (self._fresh_most if self._parts else self._graph_from)
        several = len(chosen) > 1 or (chosen and new * QUIET_MERGE_FACTOR >= total)
        void = any(self._parts[n].void > VOID_SHARE * len(self._parts[n].keys) for n in chosen)
        if not (enough or void or (quiet and several)):
            return None
        self._frozen, self._fresh = self._fresh, ExactIndex(self.dimensions)
        _fill(self._home, self._frozen, _FROZEN)
        self._building = GraphBuild(
            self.dimensions,
            self._frozen,
            {number: self._parts[number] for number in chosen},
            half=self._half,
        )
        return self._building

    def adopt(self, build: Build) -> None:
        """Puts a built graph in the place of what it was built from."""
        if isinstance(build, ListBuild):
            build.part.listed_rows = build.listed_rows
            self._listing = False
            return
        assert isinstance(build, GraphBuild)  # noqa: S101  (nothing else is due)
        for number in build.parts:
            del self._parts[number]
        self._frozen = self._building = None
        part = build.part
        changed = np.zeros(len(self._home), np.bool_)
        changed[list(build.changed)] = True
        part.bury_all(changed[part.keys])
        self._place(part)

    def capture(self) -> IndexState:
        """What is new as vectors, and each graph with what became of its rows."""
        exact = [each.capture().arrays for each in self._exact_parts()]
        arrays = {
            name: np.concatenate([each[name] for each in exact]) for name in ("keys", "vectors")
        }
        for part in self._parts.values():
            arrays |= {f"{part.name}/{name}": each for name, each in part.arrays().items()}
        files: dict[str, Callable[[Path], None]] = {}
        for part in self._parts.values():
            files |= part.files()
        return IndexState(arrays, files)

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Maps the graphs into memory and takes in what was new."""
        for name in filter(is_graph, files):
            own = {
                each: state.arrays[f"{name}/{each}"]
                for each in ("keys", "alive", "sum", "neighbours")
            }
            self._place(GraphPart.restored(files[name], name, own))
        self.upsert(state.arrays["keys"].tolist(), state.arrays["vectors"])

    def _place(self, part: GraphPart) -> None:
        """Has the part's keys that are not void found in it."""
        self._reserve(int(part.keys.max(initial=-1)) + 1)
        home, row = np.asarray(self._home), np.asarray(self._row)
        firsts = np.flatnonzero(np.diff(part.keys, prepend=-1))
        firsts = firsts[part.alive[firsts]]
        own = part.keys[firsts]
        row[own] = firsts
        self._number += int(np.count_nonzero(home[own] == _NOWHERE))
        home[own] = self._next_part
        if len(part):
            self._parts[self._next_part] = part
        self._next_part += 1

    def _reserve(self, keys: int) -> None:
        missing = keys - len(self._home)
        if missing > 0:
            self._home.extend([_NOWHERE] * missing)
            self._row.extend([0] * missing)

    def stats(self) -> IndexStats:
        """What the index is made of."""
        graph_vectors = sum(map(len, self._parts.values()))
        exact = [each.stats() for each in self._exact_parts()]
        return IndexStats(
            graph_vectors + sum(each.vectors for each in exact),
            graph_vectors,
            sum(part.void for part in self._parts.values()),
            sum(part.listed_rows for part in self._parts.values()),
            self._listing or self._building is not None,
            sum(each.memory_bytes for each in exact)
            + sum(part.memory_bytes for part in self._parts.values()),
        )

    def _exact_parts(self) -> list[ExactIndex]:
        return [self._fresh] if self._frozen is None else [self._fresh, self._frozen]

    def _segments(self) -> Iterator[ExactIndex | GraphPart]:
        return chain(self._exact_parts(), self._parts.values())

    def _vectors_of(self, key: int) -> Vectors:
        home = self._home[key] if key < len(self._home) else _NOWHERE
        if home in {_FRESH, _NOWHERE}:
            return self._fresh.vectors([key]).vectors
        if home == _FROZEN and self._frozen is not None:
            return self._frozen.vectors([key]).vectors
        part = self._parts[home]
        rows = part.rows_of(self._row[key])
        return part.vectors(slice(rows.start, rows.stop))


def _fill(home: array[int], exact: ExactIndex, value: int) -> None:
    for keys, _ in exact.blocks(exact.stats().vectors or 1):
        np.asarray(home)[keys] = value


def _together(hits: Sequence[Hits], limit: int) -> Hits:
    """The best of several parts' hits, best first, with all that tie with the last place."""
    keys = np.concatenate([each.keys for each in hits])
    scores = np.concatenate([each.scores for each in hits])
    order = np.argsort(-scores, kind="stable")
    keys, scores = keys[order], scores[order]
    if 0 < limit < len(scores):
        kept = scores >= scores[limit - 1]
        keys, scores = keys[kept], scores[kept]
    return Hits(keys, scores)
