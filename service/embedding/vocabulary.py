"""What the local model knows of words, judged by its vocabulary.

The vocabulary has words of English and pieces of them. It spells a word in another script letter
by letter, or does not know it at all; either way the vector says nothing about the text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

from service.embedding.local import read_vocabulary, read_word_weights

# Entries of two or more letters that must have a letter before the model knows it. A Latin letter
# is in 273 or more; one of another script or with a stroke, such as Polish l, in up to 6.
MIN_LETTER_ENTRIES = 50

# The share of known letters below which a good part of a text is unknown, as the contract says. Of
# 3,000 English film texts, which have names in many languages, none is below 0.93. A Chinese shoe
# text with three Latin names has 0.52.
MIN_KNOWN_SHARE = 0.7

# Words of English that add less than this to a vector, in medians of all words, say little about a
# text: "than" has 0.42, "even" 0.48, "together" 0.68, "cooking" 1.1.
MAX_FUNCTION_WORD_WEIGHT = 0.66

# This many of the most frequent words of English are function words whatever they weigh. Personal
# pronouns have a meaning for the model, such as "she". The next word is "school".
FREQUENT_WORDS = 79

# A rare word of little weight is one that the model did not learn.
MAX_LEARNED_RANK = 3_000


def is_largely_unknown(text: str) -> bool:
    """Return whether the local model does not know a good part of the letters of a text."""
    # As the model's tokenizer does, without accents and case.
    letters = Counter(
        character for character in unicodedata.normalize("NFD", text.lower()) if character.isalpha()
    )
    known = sum(letters[letter] for letter in _list_known_letters() & letters.keys())
    return known < MIN_KNOWN_SHARE * letters.total()


@cache
def list_function_words() -> frozenset[str]:
    """Return about 300 English words that say little about the subject of a text."""
    weights = {word: weight for word, weight in read_word_weights().items() if len(word) > 1}
    words = list(weights)
    return frozenset(words[:FREQUENT_WORDS]).union(
        word for word in words[:MAX_LEARNED_RANK] if weights[word] < MAX_FUNCTION_WORD_WEIGHT
    )


@cache
def _list_known_letters() -> frozenset[str]:
    entries: Counter[str] = Counter()
    for entry in read_vocabulary():
        letters = [character for character in entry if character.isalpha()]
        if len(letters) > 1:
            entries.update(set(letters))
    return frozenset(letter for letter, count in entries.items() if count >= MIN_LETTER_ENTRIES)
