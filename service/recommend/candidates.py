"""Candidates: the best items for a query by score alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from service.domain.recommendations import TEXT_SIGNALS, Signals
from service.domain.vectors import Vectors
from service.recommend.profile import QueryVectors

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The ids, scores and keys of the best items, best first, as of the write `sequence`.

    `vectors` are those of each candidate's first chunk, float32 [candidates, dimensions], if they
    were requested. `query_vectors` are unset if the source is an item. `signals` say what the
    scores are based on. `group_values` are those that a query groups by, of each candidate.
    `boost_totals` are what the boosts of the query give to items, by id, without their unit.
    """

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    query_vectors: QueryVectors | None = None
    signals: Signals = TEXT_SIGNALS
    group_values: Sequence[frozenset[int]] = ()
    boost_totals: Mapping[str, float] = field(default_factory=dict)

    @property
    def item_ids(self) -> list[str]:
        """The ids, best first."""
        return [item_id for item_id, _, _ in self.ranked]

    @property
    def scores(self) -> Vectors:
        """The scores, best first, float32 [candidates]."""
        return np.array([score for _, score, _ in self.ranked], np.float32)

    def take(self, positions: Sequence[int]) -> Candidates:
        """Return the candidates at some positions, in the order of the positions."""
        ranked = [self.ranked[position] for position in positions]
        totals = self.boost_totals
        return replace(
            self,
            ranked=ranked,
            boost_totals={item_id: totals[item_id] for item_id, _, _ in ranked} if totals else {},
            vectors=self.vectors[list(positions)] if len(self.vectors) else self.vectors,
            group_values=[self.group_values[position] for position in positions]
            if self.group_values
            else (),
        )

    def join(self, further: Candidates) -> Candidates:
        """Return the candidates together with further ones of the same query, best first."""
        if not further.ranked:
            return self
        ranked = [*self.ranked, *further.ranked]
        joined = replace(
            self,
            ranked=ranked,
            vectors=np.concatenate([self.vectors, further.vectors]),
            group_values=[*self.group_values, *further.group_values],
            boost_totals={**self.boost_totals, **further.boost_totals},
            # Either state of the index may lack what was written after the earlier one.
            sequence=min(self.sequence, further.sequence),
        )
        return joined.take(
            sorted(range(len(ranked)), key=lambda place: (-ranked[place][1], ranked[place][0]))
        )
