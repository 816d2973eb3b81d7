"""Finds the words of a text in any script.

Some scripts do not separate words by spaces: Chinese, Japanese, Thai, Lao, Khmer, Burmese and
others. Each of their letters is a token of its own here. In all other scripts a token is a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import regex

# Scripts of complex context and ideographs, which Unicode's line breaking calls SA and ID. The last
# character prolongs the vowel of the letter before it, in both Japanese syllabaries.
_HAN = r"\p{Script=Han}"
_KANA = r"\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\u30fc"
_SYLLABIC = (
    r"\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tai_Le}"
    r"\p{Script=New_Tai_Lue}\p{Script=Tai_Tham}\p{Script=Tai_Viet}"
)

# For the inside of a character class.
UNSPACED_LETTERS = _HAN + _KANA + _SYLLABIC

# Characters without a glyph of their own: zero-width joiners, marks of direction, selectors of a
# variant of the character before them.
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Variation_Selector}]+")

_UNSPACED = regex.compile(f"[{UNSPACED_LETTERS}]")

# Here \w has all marks on letters; that of `re` lacks the vowel signs of Indic scripts.
_WORD = regex.compile(r"\w+")

_TOKEN = regex.compile(
    f"(?V1)(?P<han>[{_HAN}])|(?P<kana>[{_KANA}])|(?P<syllabic>[{_SYLLABIC}]\\p{{M}}*)"
    f"|[\\w--[{UNSPACED_LETTERS}]]+"
)

# The length of a token in sixtieths of a word. Words have about 1.7 Han characters, 2.7 syllables
# of kana, or 4 letters of Thai.
WORD_LENGTH = 60
_LENGTHS = {"han": 36, "kana": 22, "syllabic": 15, None: WORD_LENGTH}


class Tokens(NamedTuple):
    """The tokens of a text in order, and the length of each in units of 1 / WORD_LENGTH words.

    `lengths` is None if every token is a word.
    """

    texts: Sequence[str]
    lengths: Sequence[int] | None


def normalize(text: str) -> str:
    """Return a text in one case and one Unicode form, without invisible characters.

    Full-width and half-width forms, ligatures and composed characters become the usual ones (NFKC).
    """
    if text.isascii():
        return text.casefold()
    text = unicodedata.normalize("NFKC", text).casefold()
    # Folding the case of a few characters composes or decomposes them again.
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    # NFKC takes apart one vowel of Thai and one of Lao, which people write in one piece.
    return text.replace("\u0e4d\u0e32", "\u0e33").replace("\u0ecd\u0eb2", "\u0eb3")


def has_unspaced_script(text: str) -> bool:
    """Return whether a text has letters of a script that does not separate words by spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def split_into_tokens(text: str) -> Tokens:
    """Return the tokens of a normalized text."""
    if not has_unspaced_script(text):
        return Tokens(_WORD.findall(text), None)
    texts, lengths = [], []
    for match in _TOKEN.finditer(text):
        texts.append(match.group())
        lengths.append(_LENGTHS[match.lastgroup])
    return Tokens(texts, lengths)
