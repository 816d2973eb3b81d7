"""Tells which sources an item is recommended for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.domain import limits
from service.domain.recommendations import ItemSource, Reason, TextSource
from service.domain.vectors import Vectors
from service.index.item_index import ItemIndex
from service.recommend.profile import QueryVectors
from service.recommend.scoring import SHARPNESS, CenteredCosines, CorpusStatistics

LEAST_SHARE = 0.1
"""A source that counts for less than this share of the strongest one is no reason."""

Origin = ItemSource | TextSource


def reasons(
    item_index: ItemIndex,
    corpus_statistics: CorpusStatistics,
    keys: Sequence[int],
    here: QueryVectors,
) -> list[tuple[Reason, ...]]:
    """For each key the likes that it is recommended for, strongest first.

    Args:
        item_index: what holds the keys' vectors.
        corpus_statistics: what its vectors are like.
        keys: the recommended items.
        here: the profile.
    """
    liked = here.sources.weights > 0
    if not keys or not liked.any():
        return [()] * len(keys)
    owned = item_index.vectors.get(keys)
    cosines = CenteredCosines(here.sources.vectors[liked], corpus_statistics).cosines(owned.vectors)
    # Of several chunks, on either side, the nearest ones count.
    items = np.searchsorted(owned.owners, np.arange(len(keys)))
    cosines = np.maximum.reduceat(cosines, items, axis=0)
    positions, profile = np.unique(here.owners[liked], return_index=True)
    cosines = np.maximum.reduceat(cosines, profile, axis=1)
    weights = here.sources.faded()[liked][profile]
    strengths = weights * np.exp(SHARPNESS * cosines)
    origins = [here.origins[position] for position in positions.tolist()]
    return [_strongest(origins, *each) for each in zip(cosines, strengths, strict=True)]


def only(origin: Origin, similarity: float) -> tuple[Reason]:
    """The reason where there is one source."""
    if isinstance(origin, TextSource):
        origin = TextSource(origin.text[: limits.REASON_CHARACTERS])
    return (Reason(origin, similarity),)


def _strongest(
    origins: Sequence[Origin], cosines: Vectors, strengths: Vectors
) -> tuple[Reason, ...]:
    order = np.argsort(-strengths, kind="stable")[: limits.REASONS].tolist()
    least = LEAST_SHARE * strengths[order[0]]
    return tuple(
        reason
        for position in order
        if strengths[position] >= least
        for reason in only(origins[position], float(cosines[position]))
    )
