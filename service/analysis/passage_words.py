"""Scores passages by their words, beside their cosines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from service.domain.analyses import Passage, PassagesQuery
from service.domain.terms import count_terms
from service.index.lexical_search import WordQuery
from service.index.term_index import TermWeights


def select_by_words(
    passages: Sequence[Passage], query: PassagesQuery, words: WordQuery, weights: TermWeights
) -> list[Passage]:
    """Return the best passages by cosine and words, within the limits of a query, best first.

    Args:
        passages: with their cosines.
        query: has the limits and the minimum score.
        words: the words of its text.
        weights: what its words weigh.
    """
    cosines = np.array([passage.score for passage in passages], np.float32)
    shares = [weights.score(count_terms(passage.text)) for passage in passages]
    scores = words.join(cosines, np.array(shares, np.float32)).tolist()
    scored = [
        passage._replace(score=score)
        for passage, score in zip(passages, scores, strict=True)
        if query.min_score is None or score >= query.min_score
    ]
    scored.sort(key=lambda passage: (-passage.score, passage.item_id, passage.start_offset))
    counts: Counter[str] = Counter()
    selected = []
    for passage in scored:
        counts[passage.item_id] += 1
        if not query.limit_per_item or counts[passage.item_id] <= query.limit_per_item:
            selected.append(passage)
    return selected[: query.limit]
