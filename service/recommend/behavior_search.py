"""Searches for the best items by behavior alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from service.domain.recommendations import TEXT_SIGNALS, PopularSource, Relation, Signals
from service.domain.vectors import Mask
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits
from service.recommend.boosts import QueryBoosts
from service.recommend.query_preparation import PreparedQuery
from service.recommend.restriction import compute_allowed


def rank_by_behavior(
    item_index: ItemIndex, prepared: PreparedQuery, allowed: Mask, limit: int
) -> tuple[Hits, Signals]:
    """Return the best allowed items by behavior alone, and what they are based on."""
    behavior, boosts = prepared.behavior, prepared.boosts
    fetch = limit if boosts is None else len(allowed)
    if prepared.query.relation is Relation.ALSO_LIKED:
        hits = Hits.empty() if behavior is None else behavior.rank(item_index, allowed, fetch)
        return _select_boosted(boosts, hits, allowed, limit), prepared.signals
    if behavior is None:
        return Hits.empty(), TEXT_SIGNALS
    if prepared.filled is None:
        hits = behavior.rank_with_popular(item_index, allowed, fetch)
    else:
        # Popular items score by their places, which must be the same as without `filled`.
        unfilled = compute_allowed(item_index, replace(prepared, filled=None))
        hits = behavior.rank_with_popular(item_index, unfilled, len(unfilled))
    signals = replace(prepared.signals, text_weight=0.0, behavior_weight=1.0)
    return _select_boosted(boosts, hits, allowed, limit), signals


def _select_boosted(boosts: QueryBoosts | None, hits: Hits, allowed: Mask, limit: int) -> Hits:
    """Return the best allowed ones of hits by z-scores, with boosts if there are any."""
    if boosts is not None:
        return boosts.select_best(hits, allowed, limit)
    is_allowed = allowed[hits.keys]
    return Hits(hits.keys[is_allowed], hits.scores[is_allowed])


def search_popular(
    item_index: ItemIndex, prepared: PreparedQuery, source: PopularSource, limit: int
) -> Hits:
    """Return the most popular items."""
    if prepared.model is None:
        return Hits.empty()
    allowed = compute_allowed(item_index, prepared)
    boosts = prepared.boosts
    rank = partial(prepared.model.rank_popular, item_index, half_life_days=source.half_life_days)
    if boosts is None:
        return rank(allowed, limit=limit)
    everything = rank(np.ones_like(allowed), limit=max(len(allowed), 1))
    return boosts.select_popular(everything, allowed, limit)
