"""Extracts the keywords of groups of texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import regex

from service.analysis.unspaced_words import find_unspaced_words
from service.domain.words import UNSPACED_LETTERS, has_unspaced_script, normalize

# Keywords of one group.
MAX_KEYWORDS = 10

# A word in more than this share of all texts is no keyword, whatever the language.
MAX_TEXT_SHARE = 0.5

# How many times as frequent as in the mean of all groups a keyword must be; at most the square root
# of the number of groups, which is all that few groups allow. It excludes "he" and "but" in groups
# of films.
MIN_LIFT = 2.0

# Texts of a group that must have a keyword.
MIN_KEYWORD_TEXTS = 2

# Characters at the beginning of a text that keywords are taken from.
MAX_KEYWORD_CHARACTERS = 5_000

# Characters of a keyword; longer sequences are data, such as keys and encoded files.
MAX_WORD_CHARACTERS = 50

# Of a script that separates words by spaces. Here \w has the marks on letters.
_SPACED_WORD = regex.compile(
    rf"(?V1)[\w--[\d_\p{{M}}{UNSPACED_LETTERS}]][[\w'\u2019-]--[{UNSPACED_LETTERS}]]*"
    rf"[\w--[{UNSPACED_LETTERS}]]"
)


def extract_keywords(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the words of each group that are frequent there and rare elsewhere, best first.

    The score is class-based TF-IDF: the share of a group's texts that have a word, times the
    logarithm of that share over its mean in all groups. A word that is equally frequent in all
    groups scores 0, so that no list of stop words is needed. All groups count the same, however
    many texts they have.

    Args:
        groups: the texts of each group. Case and Unicode forms do not matter, and of each text only
            the first MAX_KEYWORD_CHARACTERS characters count.
    """
    group_shares = [_compute_word_shares(texts) for texts in _split_into_words(groups)]
    if len(groups) == 1:
        (shares,) = group_shares
        return [
            _select_best({word: share for word, share in shares.items() if share <= MAX_TEXT_SHARE})
        ]
    total_shares: Counter[str] = Counter()
    for shares in group_shares:
        total_shares.update(shares)
    return [_extract_group_keywords(shares, total_shares, len(groups)) for shares in group_shares]


def _extract_group_keywords(
    shares: dict[str, float], total_shares: Counter[str], group_count: int
) -> list[str]:
    min_lift = min(MIN_LIFT, math.sqrt(group_count))
    return _select_best(
        {
            word: share * math.log(lift)
            for word, share in shares.items()
            if (lift := share * group_count / total_shares[word]) >= min_lift
            and total_shares[word] <= MAX_TEXT_SHARE * group_count
        }
    )


def _split_into_words(groups: Sequence[Sequence[str]]) -> list[list[set[str]]]:
    """Return the words of each text of each group."""
    texts = [normalize(text[:MAX_KEYWORD_CHARACTERS]) for texts in groups for text in texts]
    words = (
        unspaced_words.union(
            word for word in _SPACED_WORD.findall(text) if len(word) <= MAX_WORD_CHARACTERS
        )
        for text, unspaced_words in zip(texts, find_unspaced_words(texts), strict=True)
    )
    return [[next(words) for _ in texts] for texts in groups]


def _compute_word_shares(texts: Sequence[set[str]]) -> dict[str, float]:
    """Return the share of texts that have each word, for words that enough texts have.

    Args:
        texts: the words of each text.
    """
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    min_texts = min(MIN_KEYWORD_TEXTS, len(texts))
    return {word: count / len(texts) for word, count in counts.items() if count >= min_texts}


def _select_best(scores: dict[str, float]) -> list[str]:
    """Return the words with the highest scores.

    Of two words without spaces around them that overlap, the better one is enough.
    """
    keywords: list[str] = []
    for word in sorted(scores, key=lambda word: (-scores[word], word)):
        if len(keywords) == MAX_KEYWORDS:
            break
        if not has_unspaced_script(word) or not any(
            word in keyword or keyword in word for keyword in keywords
        ):
            keywords.append(word)
    return keywords
