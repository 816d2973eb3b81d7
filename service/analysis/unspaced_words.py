"""Finds words in scripts that do not separate them by spaces, from what texts repeat.

A sequence of letters is taken for a word if several texts have it and no longer sequence accounts
for most of them. This needs no dictionary, and so no choice of languages.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import regex

from service.domain.words import has_unspaced_script

# Letters of a word, at least and at most, by kind. Hiragana has no kind, because its words are
# inflections and particles more often than not.
_MIN_MAX_LETTERS = {"han": (2, 4), "katakana": (2, 12), "syllabic": (2, 7)}

_RUN = regex.compile(
    r"(?P<han>\p{Script=Han}+)|(?P<katakana>[\p{Script=Katakana}\u30fc]+)"
    r"|(?P<syllabic>(?:[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}"
    r"\p{Script=Tai_Le}\p{Script=New_Tai_Lue}\p{Script=Tai_Tham}\p{Script=Tai_Viet}]\p{M}*)+)"
)

# A consonant with its vowel signs. In Thai and Lao some vowels are letters before or after it.
_SYLLABLE = regex.compile(
    r"[\u0e40-\u0e44\u0ec0-\u0ec4]?.\p{M}*[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3\u0ebd]?"
)

# Characters that are examined, of all texts together and at least of each: 3 s and 100 MB.
MAX_CHARACTERS = 600_000
MIN_TEXT_CHARACTERS = 50

# Texts that must have a sequence, and the least share of all texts.
MIN_TEXTS = 2
MIN_TEXT_SHARE = 0.002

# A sequence is half a word if this share of its texts has the same longer sequence.
MAX_LONGER_SHARE = 0.6

# Letters in order: a string if each is one character.
_Letters = str | tuple[str, ...]
_Run = tuple[str, _Letters]


def find_unspaced_words(texts: Sequence[str]) -> list[set[str]]:
    """Return the words of each text that several of the texts have.

    If the texts are many, only the beginning of each is examined.

    Args:
        texts: normalized as by `words.normalize`.
    """
    unspaced_count = sum(map(has_unspaced_script, texts))
    if not unspaced_count:
        return [set() for _ in texts]
    characters = max(MIN_TEXT_CHARACTERS, MAX_CHARACTERS // unspaced_count)
    runs = [list(_list_runs(text[:characters])) for text in texts]
    min_texts = max(MIN_TEXTS, round(MIN_TEXT_SHARE * sum(map(bool, runs))))
    words = _find_words(_count_sequences(runs, min_texts))
    return [
        {
            "".join(letters[start : start + length])
            for kind, letters in text_runs
            for length in range(_MIN_MAX_LETTERS[kind][0], _MIN_MAX_LETTERS[kind][1] + 1)
            for start in range(len(letters) - length + 1)
            if letters[start : start + length] in words
        }
        for text_runs in runs
    ]


def _list_runs(text: str) -> Iterator[_Run]:
    """Yield the kind and the letters of each run of letters of one kind."""
    for match in _RUN.finditer(text):
        kind = str(match.lastgroup)
        run = match.group()
        letters = tuple(_SYLLABLE.findall(run)) if kind == "syllabic" else run
        if len(letters) >= _MIN_MAX_LETTERS[kind][0]:
            yield kind, letters


def _count_sequences(
    runs: Sequence[Sequence[_Run]], min_texts: int
) -> dict[_Letters, tuple[int, bool]]:
    """Return sequences in at least `min_texts` texts: their texts, and if they may be words.

    Longer sequences are built from shorter ones that are frequent enough (a-priori pruning). They
    have up to one letter more than a word, which tells whether the longest are half a word.
    """
    frequent: dict[_Letters, tuple[int, bool]] = {}
    longest = 1 + max(most for _, most in _MIN_MAX_LETTERS.values())
    for length in range(2, longest + 1):
        counts: Counter[_Letters] = Counter()
        word_like: set[_Letters] = set()
        for text_runs in runs:
            sequences = set()
            for kind, letters in text_runs:
                least, most = _MIN_MAX_LETTERS[kind]
                if length > most + 1:
                    continue
                new = {
                    letters[start : start + length] for start in range(len(letters) - length + 1)
                }
                if length > 2:  # noqa: PLR2004  (sequences of two letters have no frequent parts)
                    new = {part for part in new if part[1:] in frequent and part[:-1] in frequent}
                sequences |= new
                if least <= length <= most:
                    word_like |= new
            counts.update(sequences)
        level = {
            sequence: (count, sequence in word_like)
            for sequence, count in counts.items()
            if count >= min_texts
        }
        if not level:
            break
        frequent |= level
    return frequent


def _find_words(sequences: dict[_Letters, tuple[int, bool]]) -> set[_Letters]:
    """Return the sequences that no longer one accounts for."""
    longer_counts: defaultdict[_Letters, int] = defaultdict(int)
    for sequence, (count, _) in sequences.items():
        for part in (sequence[1:], sequence[:-1]):
            longer_counts[part] = max(longer_counts[part], count)
    return {
        sequence
        for sequence, (count, is_word_like) in sequences.items()
        if is_word_like and longer_counts[sequence] < MAX_LONGER_SHARE * count
    }
