"""What the local model knows of words, judged by its vocabulary.

The vocabulary has words of English and pieces of them. It spells a word in another script letter
by letter, or does not know it at all; either way the vector says nothing about the text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

from service.embedding.local import read_vocabulary

# Entries of two or more letters that must have a letter before the model knows it. A Latin letter
# is in 273 or more; one of another script or with a stroke, such as Polish l, in up to 6.
MIN_LETTER_ENTRIES = 50

# The share of known letters below which a good part of a text is unknown, as the contract says. Of
# 3,000 English film texts, which have names in many languages, none is below 0.93. A Chinese shoe
# text with three Latin names has 0.52.
MIN_KNOWN_SHARE = 0.7


def is_largely_unknown(text: str) -> bool:
    """Return whether the local model does not know a good part of the letters of a text."""
    # As the model's tokenizer does, without accents and case.
    letters = Counter(
        character for character in unicodedata.normalize("NFD", text.lower()) if character.isalpha()
    )
    known = sum(letters[letter] for letter in _list_known_letters() & letters.keys())
    return known < MIN_KNOWN_SHARE * letters.total()


@cache
def _list_known_letters() -> frozenset[str]:
    entries: Counter[str] = Counter()
    for entry in read_vocabulary():
        letters = [character for character in entry if character.isalpha()]
        if len(letters) > 1:
            entries.update(set(letters))
    return frozenset(letter for letter, count in entries.items() if count >= MIN_LETTER_ENTRIES)
