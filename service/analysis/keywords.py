"""Extracts the keywords of groups of texts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import regex

from service.analysis.function_words import is_function_word
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

# At least this share of a keyword's texts are in its group, if all groups had equally many texts,
# and even with one standard error less. It excludes words such as "for" and "with" that a few texts
# of a group have by chance. With this and the weight by frequency in all texts, 8% instead of 17%
# of the keywords of books, films and products were English function words before those were
# excluded; at 0.33 6%, but groups have fewer keywords.
MIN_SHARE_IN_GROUP = 0.25

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

    The score is the share of a group's texts that have a word, times the logarithm of that share
    over its mean in all groups, times the logarithm of the inverse share of all texts that have the
    word. A word that is equally frequent in all groups scores 0, and one of many texts scores low,
    so that other languages need no list of stop words. Function words of English are excluded: some
    are frequent in one group only, such as "she" in novels about women. All groups count the same,
    however many texts they have.

    Args:
        groups: the texts of each group. Case and Unicode forms do not matter, and of each text only
            the first MAX_KEYWORD_CHARACTERS characters count.
    """
    group_counts = [_GroupCounts(texts) for texts in _split_into_words(groups)]
    if len(groups) == 1:
        shares = group_counts[0].list_frequent()
        return [
            _select_best({word: share for word, share in shares.items() if share <= MAX_TEXT_SHARE})
        ]
    frequencies = _Frequencies(group_counts)
    return [
        _select_best(
            {
                word: score
                for word, share in counts.list_frequent().items()
                if (score := frequencies.score(word, share)) > 0
            }
        )
        for counts in group_counts
    ]


class _GroupCounts:
    """How many texts of a group have each word.

    Args:
        texts: the words of each text.
    """

    def __init__(self, texts: Sequence[set[str]]) -> None:
        self.text_count = len(texts)
        self.counts = Counter(word for words in texts for word in words)

    def list_frequent(self) -> dict[str, float]:
        """Return the share of texts that have each word, for words that enough texts have."""
        min_texts = min(MIN_KEYWORD_TEXTS, self.text_count)
        return {
            word: count / self.text_count
            for word, count in self.counts.items()
            if count >= min_texts
        }


class _Frequencies:
    """How frequent each word is in all groups and in all texts.

    It counts the words that few texts of a group have too: a group would otherwise get a word that
    one text of each other group has.
    """

    def __init__(self, groups: Sequence[_GroupCounts]) -> None:
        self._group_count = len(groups)
        self._min_lift = min(MIN_LIFT, math.sqrt(self._group_count))
        self._text_count = sum(group.text_count for group in groups)
        self._text_counts: Counter[str] = Counter()
        self._total_shares: defaultdict[str, float] = defaultdict(float)
        for group in groups:
            self._text_counts.update(group.counts)
            for word, count in group.counts.items():
                self._total_shares[word] += count / group.text_count

    def score(self, word: str, share: float) -> float:
        """Return the score of a word in a group with this share of texts; 0 if it is no keyword."""
        total_share, text_count = self._total_shares[word], self._text_counts[word]
        lift = share * self._group_count / total_share
        if (
            lift < self._min_lift
            or total_share > MAX_TEXT_SHARE * self._group_count
            or _compute_lower_bound(share / total_share, text_count) < MIN_SHARE_IN_GROUP
        ):
            return 0.0
        return share * math.log(lift) * math.log(self._text_count / text_count)


def _compute_lower_bound(share: float, count: int) -> float:
    """Return the lower end of the Wilson interval of one standard error around a share."""
    deviation = math.sqrt(share * (1 - share) / count + 1 / (4 * count * count))
    return (share + 1 / (2 * count) - deviation) / (1 + 1 / count)


def _split_into_words(groups: Sequence[Sequence[str]]) -> list[list[set[str]]]:
    """Return the words of each text of each group."""
    texts = [normalize(text[:MAX_KEYWORD_CHARACTERS]) for texts in groups for text in texts]
    words = (
        unspaced_words.union(filter(_is_candidate, _SPACED_WORD.findall(text)))
        for text, unspaced_words in zip(texts, find_unspaced_words(texts), strict=True)
    )
    return [[next(words) for _ in texts] for texts in groups]


def _is_candidate(word: str) -> bool:
    """Can a word be a keyword?"""
    return len(word) <= MAX_WORD_CHARACTERS and not is_function_word(word)


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
