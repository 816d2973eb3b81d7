"""Words that tell what a group of texts is about."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

WORDS = 10
COMMON_SHARE = 0.5
"""What stands in more than this share of all texts tells nothing, whatever the language."""

LEAST_LIFT = 2.0
"""A word must be so many times as frequent as in the mean of the groups, and the square root of
their number at most, which few groups allow. In films' groups "he" and "but" are not."""

LEAST_TEXTS = 2
"""A word of one text alone is no word of the group."""

TEXT_CHARACTERS = 5_000
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*\w")


def distinctive(texts: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words of each group's texts that are frequent there and rare elsewhere, best first.

    Class-based TF-IDF: the share of a group's texts that have a word, times the logarithm of that
    share over the mean share of all groups. A word that all groups use alike counts nothing, so
    there is no list of such words; groups count alike, however many texts there are of each.

    Args:
        texts: those of each group; case does not matter, nor what follows TEXT_CHARACTERS.
    """
    shares = [_shares(group) for group in texts]
    everywhere: Counter[str] = Counter()
    for each in shares:
        everywhere.update(each)
    number = len(texts)
    if number == 1:
        return [_best({word: each for word, each in shares[0].items() if each <= COMMON_SHARE})]
    least = min(LEAST_LIFT, math.sqrt(number))
    return [
        _best(
            {
                word: share * math.log(lift)
                for word, share in each.items()
                if (lift := share * number / everywhere[word]) >= least
                and everywhere[word] <= COMMON_SHARE * number
            }
        )
        for each in shares
    ]


def _shares(texts: Sequence[str]) -> dict[str, float]:
    """The share of texts that have each word of several of them, or of one if there is no more."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(_WORD.findall(text[:TEXT_CHARACTERS].casefold())))
    least = min(LEAST_TEXTS, len(texts))
    return {word: count / len(texts) for word, count in counts.items() if count >= least}


def _best(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=lambda word: (-scores[word], word))[:WORDS]
