"""Decides by their wording whether two texts are near-duplicates.

Cosine similarity alone cannot: vectors of different texts on one subject are as close as those of
copies. At a cosine of 0.85, others measured that 70 to 83% of merges were false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.words import WORD_LENGTH, Tokens, normalize, split_into_tokens

# Words in a shingle, as the contract says. In scripts that do not separate words by spaces, a
# shingle has as many letters as three words have on average, such as 5 of Chinese or 12 of Thai.
SHINGLE_WORDS = 3

# The least share of common shingles among those of two near-duplicates. Of 6,810 pairs of different
# films with a cosine above 0.75, none shares more than 0.16.
MIN_COMMON_SHARE = 0.3

# The same if shingles are weighted by their rarity, which discounts what all texts of a catalog
# repeat. Of the pairs of package descriptions with a cosine above 0.75 that share 0.3 of all
# shingles, a twelfth remains: cross compilers of one kind and the like. Of films with one sentence
# paraphrased it finds 77%, and no two different films share more than 0.13.
MIN_RARE_COMMON_SHARE = 0.3

# A shingle that all of fewer texts than this have in common still counts as somewhat rare.
MIN_RARITY_TEXTS = 1_000

# Buckets of shingle hashes, whose counts take 4 MiB.
HASH_BUCKETS = 2**20

# Only this many characters at the beginning of a text are compared, as the contract says.
COMPARED_CHARACTERS = 5_000


class Shingles:
    """The three-word sequences of a text, without case, punctuation and invisible characters.

    `hashes` are those of the sequences, int64, ascending. `words_hash` is equal for texts with the
    same words in the same order, in whatever Unicode form.
    """

    __slots__ = ("hashes", "words_hash")

    def __init__(self, text: str) -> None:
        text = normalize(text[:COMPARED_CHARACTERS])
        tokens = split_into_tokens(text)
        if not tokens.texts:
            tokens = Tokens([text], None)
        hashes = _hash_shingles(tokens)
        # An array takes a tenth of the memory of a set.
        self.hashes = np.sort(np.fromiter(hashes, np.int64, len(hashes)))
        self.words_hash = hash(tuple(tokens.texts))

    def is_near_duplicate_of(self, other: Shingles) -> bool:
        """Return whether the texts have much of their wording in common (Broder's resemblance)."""
        total = len(self.hashes) + len(other.hashes)
        common = len(np.intersect1d(self.hashes, other.hashes, assume_unique=True))
        return common >= MIN_COMMON_SHARE * (total - common)


class ShingleRarity:
    """How rare shingles are in a catalog, estimated from a sample of its texts.

    Copies of a text count once, because many copies do not make its wording common.
    """

    def __init__(self, sample: Iterable[Shingles]) -> None:
        counts = np.zeros(HASH_BUCKETS, np.int32)
        counted_texts: set[int] = set()
        for shingles in sample:
            if shingles.words_hash not in counted_texts:
                counted_texts.add(shingles.words_hash)
                counts[np.unique(_to_buckets(shingles.hashes))] += 1
        text_count = max(len(counted_texts), MIN_RARITY_TEXTS)
        self._weights = np.log(text_count + 1) - np.log(np.maximum(counts, 1))

    def are_near_duplicates(self, text: Shingles, candidates: Sequence[Shingles]) -> list[bool]:
        """Return for each candidate whether it shares much of the rare wording of a text."""
        if not candidates:
            return []
        hashes = np.concatenate([candidate.hashes for candidate in candidates])
        starts = np.cumsum([0, *(len(candidate.hashes) for candidate in candidates[:-1])])
        weights = self._weights[_to_buckets(hashes)]
        positions = np.searchsorted(text.hashes, hashes).clip(max=len(text.hashes) - 1)
        common = np.add.reduceat(weights * (text.hashes[positions] == hashes), starts)
        text_weight = self._weights[_to_buckets(text.hashes)].sum()
        union = text_weight + np.add.reduceat(weights, starts) - common
        near_duplicates: list[bool] = (common >= MIN_RARE_COMMON_SHARE * union).tolist()
        return near_duplicates


def _to_buckets(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    return hashes & (HASH_BUCKETS - 1)


def _hash_shingles(tokens: Tokens) -> set[int]:
    """Return the hashes of the shingles; a text shorter than a shingle is one."""
    texts, lengths = tokens
    if lengths is None:
        starts = range(max(1, len(texts) - SHINGLE_WORDS + 1))
        return {hash(tuple(texts[start : start + SHINGLE_WORDS])) for start in starts}
    hashes = set()
    start = length = 0
    for end, token_length in enumerate(lengths, 1):
        length += token_length
        # The sequence without its first token would be too short.
        while length - lengths[start] >= SHINGLE_WORDS * WORD_LENGTH:
            length -= lengths[start]
            start += 1
        if length >= SHINGLE_WORDS * WORD_LENGTH:
            hashes.add(hash(tuple(texts[start:end])))
    return hashes or {hash(tuple(texts))}
