"""Splits texts into the terms that an index of words counts and queries ask for.

A term is a word in one case, as it is written: there is no stemming and no choice of languages. In
scripts that do not separate words by spaces, a term is a pair of neighboring letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import regex

from service.domain.words import UNSPACED_LETTERS, has_unspaced_script, normalize, split_into_tokens

# Characters of a text whose terms are counted; those of 1 MiB would take 0.2 s.
MAX_TERM_CHARACTERS = 100_000

# Longer words, such as encoded data, are cut.
MAX_TERM_LENGTH = 64

_UNSPACED_RUN = regex.compile(f"(?:[{UNSPACED_LETTERS}]\\p{{M}}*)+")


def count_terms(text: str) -> Counter[str]:
    """Return how often a text has each of its terms; of a long text, the beginning is read."""
    return Counter(_list_terms(normalize(text[:MAX_TERM_CHARACTERS])))


def _list_terms(text: str) -> list[str]:
    """Return the terms of a normalized text."""
    pairs: list[str] = []
    if has_unspaced_script(text):
        for run in _UNSPACED_RUN.findall(text):
            pairs += _pair_letters(split_into_tokens(run).texts)
        text = _UNSPACED_RUN.sub(" ", text)
    return pairs + [word[:MAX_TERM_LENGTH] for word in split_into_tokens(text).texts]


def _pair_letters(letters: Sequence[str]) -> list[str]:
    """Return each pair of neighboring letters, or the only letter."""
    if len(letters) == 1:
        return [letters[0]]
    return ["".join(pair) for pair in pairwise(letters)]
