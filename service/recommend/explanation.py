"""Explains recommendations: which parts of the source an item is recommended for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from service.domain import limits
from service.domain.lexical import MATCHED_WORDS
from service.domain.recommendations import (
    Explanation,
    ItemSource,
    Relation,
    Signal,
    TextSource,
)
from service.domain.vectors import Vectors
from service.index.corpus_statistics import CorpusStatistics
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQuery, compute_cosines
from service.recommend.blending import ScoredBehavior
from service.recommend.candidates import Candidates
from service.recommend.profile import ProfileSource, QueryVectors
from service.recommend.query_preparation import PreparedQuery
from service.recommend.scoring import SHARPNESS, CenteredCosines, NearestChunk
from service.recommend.source_search import score_keys

# A source that contributes less than this share of the strongest one is no explanation.
MIN_CONTRIBUTION_SHARE = 0.1

# A source with a lower cosine is no explanation. Centered cosines of random pairs of films or of
# artists have a mean of 0 and a standard deviation of 0.13 to 0.15. Of the explanations of films,
# this leaves out 3%, and of artists none.
MIN_EXPLAINING_SIMILARITY = 0.1


def explain_candidates(
    item_index: ItemIndex, prepared: PreparedQuery, candidates: Candidates
) -> Mapping[str, Sequence[Explanation]]:
    """Return the explanations by item id; none for an item that was just deleted.

    An item that resembles no part of the source has none either, and none is the item itself.
    """
    return {
        item_id: tuple(part for part in parts if not _is_item(part.source, item_id))
        for item_id, parts in _explain(item_index, prepared, candidates).items()
    }


def _is_item(source: ItemSource | TextSource, item_id: str) -> bool:
    return isinstance(source, ItemSource) and source.item_id == item_id


def _explain(
    item_index: ItemIndex, prepared: PreparedQuery, candidates: Candidates
) -> Mapping[str, Sequence[Explanation]]:
    source, query_vectors = prepared.query.source, candidates.query_vectors
    if isinstance(source, TextSource) and prepared.words is not None:
        return explain_by_words(item_index, source, prepared.words, candidates)
    ranked = [
        (item_id, score)
        for item_id, score, _ in candidates.ranked
        if item_index.find_key(item_id) is not None
    ]
    if isinstance(source, TextSource) or (isinstance(source, ItemSource) and not query_vectors):
        if prepared.query.boosts:
            ranked = _score_without_boosts(item_index, source, query_vectors, ranked)
        return {
            item_id: (explain_by_source(source, score),)
            for item_id, score in ranked
            if score >= MIN_EXPLAINING_SIMILARITY
        }
    if query_vectors is None or not ranked:
        return {}
    by_text: Sequence[Sequence[Explanation]] = [()] * len(ranked)
    if prepared.query.relation is not Relation.ALSO_LIKED:
        keys = item_index.find_keys(item_id for item_id, _ in ranked)
        statistics = item_index.compute_statistics()
        by_text = explain_by_profile(item_index, statistics, keys, query_vectors)
    behavior = prepared.behavior
    if behavior is None:
        return {item_id: parts for (item_id, _), parts in zip(ranked, by_text, strict=True)}
    totals = candidates.boost_totals
    return {
        item_id: _join_explanations(behavior, item_id, score - totals.get(item_id, 0.0), parts)
        for (item_id, score), parts in zip(ranked, by_text, strict=True)
    }


def _score_without_boosts(
    item_index: ItemIndex,
    source: ProfileSource,
    query_vectors: QueryVectors | None,
    ranked: Sequence[tuple[str, float]],
) -> list[tuple[str, float]]:
    """Return the ids of ranked items with their cosines with the source."""
    if query_vectors is not None:
        chunks = query_vectors.sources.vectors
    elif (
        isinstance(source, ItemSource) and (key := item_index.find_key(source.item_id)) is not None
    ):
        chunks = item_index.vectors.get([key]).vectors
    else:
        return []  # it was just deleted
    ids = [item_id for item_id, _ in ranked]
    keys = np.array(item_index.find_keys(ids), np.int64)
    scores = score_keys(item_index, NearestChunk(chunks), keys).scores.tolist()
    return list(zip(ids, scores, strict=True))


def explain_by_words(
    item_index: ItemIndex, source: TextSource, words: WordQuery, candidates: Candidates
) -> Mapping[str, Sequence[Explanation]]:
    """Return the explanations by a text whose words count; none for an item that is gone."""
    item_ids = [
        item_id for item_id in candidates.item_ids if item_index.find_key(item_id) is not None
    ]
    query_vectors, terms = candidates.query_vectors, item_index.terms
    if query_vectors is None or terms is None or not item_ids:
        return {}
    keys = np.array(item_index.find_keys(item_ids), np.int64)
    cosines = compute_cosines(item_index, keys, query_vectors.sources.vectors)
    matches = terms.find_terms(words.terms, keys)
    return {
        item_id: (
            explain_by_source(source, cosine)._replace(matched_words=matched[:MATCHED_WORDS]),
        )
        for item_id, cosine, matched in zip(item_ids, cosines.tolist(), matches, strict=True)
        if matched or cosine >= MIN_EXPLAINING_SIMILARITY
    }


def _join_explanations(
    behavior: ScoredBehavior, item_id: str, score: float, by_text: Sequence[Explanation]
) -> Sequence[Explanation]:
    """Return the explanations of an item by text and by behavior, those that add more first."""
    parts = [part for part in behavior.model.explain(behavior.profile, item_id) if part[1] > 0]
    behavior_gain = sum(value for _, value in parts)
    text_gain = score - behavior.profile.base - behavior_gain
    by_behavior = [
        Explanation(ItemSource(liked_id), 0.0, Signal.BEHAVIOR)
        for liked_id, value in parts
        if value >= MIN_CONTRIBUTION_SHARE * parts[0][1]
    ]
    if text_gain <= 0:
        by_text = ()
    joined = [*by_text, *by_behavior] if text_gain > behavior_gain else [*by_behavior, *by_text]
    return tuple(joined[: limits.EXPLANATIONS])


def explain_by_profile(
    item_index: ItemIndex,
    statistics: CorpusStatistics,
    keys: Sequence[int],
    query_vectors: QueryVectors,
) -> list[tuple[Explanation, ...]]:
    """Return for each key the liked items and texts that it is recommended for, strongest first.

    Args:
        item_index: the index that has the keys.
        statistics: those of the index.
        keys: the recommended items.
        query_vectors: the profile that the items are recommended for.
    """
    is_liked = query_vectors.sources.weights > 0
    if not keys or not is_liked.any():
        return [()] * len(keys)
    owned = item_index.vectors.get(keys)
    liked_vectors = query_vectors.sources.vectors[is_liked]
    cosines = CenteredCosines(liked_vectors, statistics).compute(owned.vectors)
    # Of several chunks, of the item and of the source, the nearest ones count.
    first_chunks = np.searchsorted(owned.owners, np.arange(len(keys)))
    cosines = np.maximum.reduceat(cosines, first_chunks, axis=0)
    positions, first_sources = np.unique(query_vectors.owners[is_liked], return_index=True)
    cosines = np.maximum.reduceat(cosines, first_sources, axis=1)
    weights = query_vectors.sources.fade_weights()[is_liked][first_sources]
    contributions = weights * np.exp(SHARPNESS * cosines)
    origins = [query_vectors.origins[position] for position in positions.tolist()]
    return [
        _explain_item(origins, item_cosines, item_contributions)
        for item_cosines, item_contributions in zip(cosines, contributions, strict=True)
    ]


def explain_by_source(source: ProfileSource, similarity: float) -> Explanation:
    """Return the explanation of an item by one source; a long text is shortened."""
    if isinstance(source, TextSource):
        source = TextSource(source.text[: limits.EXPLANATION_CHARACTERS])
    return Explanation(source, similarity)


def _explain_item(
    origins: Sequence[ItemSource | TextSource], cosines: Vectors, contributions: Vectors
) -> tuple[Explanation, ...]:
    strongest = np.argsort(-contributions, kind="stable")[: limits.EXPLANATIONS].tolist()
    threshold = MIN_CONTRIBUTION_SHARE * contributions[strongest[0]]
    return tuple(
        explain_by_source(origins[position], float(cosines[position]))
        for position in strongest
        if contributions[position] >= threshold and cosines[position] >= MIN_EXPLAINING_SIMILARITY
    )
