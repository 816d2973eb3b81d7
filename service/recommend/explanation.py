"""Tells which sources an item is recommended for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.domain import limits
from service.domain.recommendations import ItemSource, Reason, TextSource
from service.index.item_index import View
from service.index.vector_index import Vectors
from service.recommend.profile import Present
from service.recommend.scoring import SHARPNESS, Centered, Surroundings

LEAST_SHARE = 0.1
"""A source that counts for less than this share of the strongest one is no reason."""

Origin = ItemSource | TextSource


def reasons(
    view: View,
    surroundings: Surroundings,
    keys: Sequence[int],
    here: Present,
) -> list[tuple[Reason, ...]]:
    """For each key the likes that it is recommended for, strongest first.

    Args:
        view: what holds the keys' vectors.
        surroundings: what its vectors are like.
        keys: the recommended items.
        here: the tastes.
    """
    liked = here.sources.weights > 0
    if not keys or not liked.any():
        return [()] * len(keys)
    owned = view.index.vectors(keys)
    cosines = Centered(here.sources.vectors[liked], surroundings).cosines(owned.vectors)
    # Of several chunks, on either side, the nearest ones count.
    items = np.searchsorted(owned.owners, np.arange(len(keys)))
    cosines = np.maximum.reduceat(cosines, items, axis=0)
    positions, tastes = np.unique(here.owners[liked], return_index=True)
    cosines = np.maximum.reduceat(cosines, tastes, axis=1)
    weights = here.sources.faded()[liked][tastes]
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
