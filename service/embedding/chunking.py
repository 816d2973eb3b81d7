"""Splits a text that exceeds a model's context into chunks that fit.

A chunk ends at the end of a paragraph if possible, or else of a sentence, a word or a character.
The next chunk starts a little before that end, so that a thought at the border is whole in one of
them. No part of the text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.embedding.token_estimates import WEIGHT_PER_TOKEN, estimate_tokens, weigh

# The share of a chunk that the next one repeats: a few sentences of a long chunk.
OVERLAP_SHARE = 0.1

# The least share of a chunk that is filled: a word border is better than a very short chunk.
MIN_FILL_SHARE = 0.5

# A model that rejects a chunk of fewer tokens as too long cannot be helped by splitting it further.
MIN_CHUNK_TOKENS = 16

# Kinds of borders between chunks, best first.
_BORDERS = (
    re.compile(r"\n[^\S\n]*\n\s*"),  # a paragraph
    re.compile(r"(?<=[.!?。！？])[\"')\]”’]*\s+|(?<=[。！？])|\n\s*"),  # a sentence or a line
    re.compile(r"\s+"),  # a word
)


def find_spans(text: str, max_tokens: int) -> list[tuple[int, int]]:
    """Return the start and end of each chunk, in characters, of at most about `max_tokens`."""
    if estimate_tokens(text) <= max_tokens:
        return [(0, len(text))]
    return list(_generate_spans(text, max_tokens))


def halve(text: str) -> list[tuple[int, int]]:
    """Return the spans of about half a text each, for a model that finds the text too long.

    Returns:
        Two or more spans; the text's own span if it cannot be split further.
    """
    tokens = estimate_tokens(text)
    if tokens <= MIN_CHUNK_TOKENS:
        return [(0, len(text))]
    return find_spans(text, tokens // 2 + 1)


def _generate_spans(text: str, max_tokens: int) -> Iterator[tuple[int, int]]:
    total_weights = np.concatenate(([0], np.cumsum(weigh(text), dtype=np.int64)))
    start = 0
    while True:
        size = _count_fitting(total_weights, start, (max_tokens - 1) * WEIGHT_PER_TOKEN)
        if start + size >= len(text):
            if text[start:].strip():
                yield start, len(text)
            return
        end = _find_end(text, start + int(size * MIN_FILL_SHARE), start + size)
        if text[start:end].strip():
            yield start, end
        start = _find_next_start(text, max(start + 1, end - int(size * OVERLAP_SHARE)), end)


def _count_fitting(total_weights: NDArray[np.int64], start: int, max_weight: int) -> int:
    """Return how many characters from `start` have at most `max_weight`, at least 1."""
    end = int(np.searchsorted(total_weights, total_weights[start] + max_weight, side="right")) - 1
    return max(1, end - start)


def _find_end(text: str, low: int, high: int) -> int:
    """Return the last border of the best kind in (low, high], or `high` if there is none."""
    for border in _BORDERS:
        ends = [end for end in _find_borders(border, text, low, high) if end > low]
        if ends:
            return ends[-1]
    return high


def _find_next_start(text: str, low: int, end: int) -> int:
    """Return the start in [low, end] of the chunk after one that ends at `end`."""
    for border in _BORDERS:
        for start in _find_borders(border, text, low, end):
            if low <= start < end:
                return start
    # Without a border in the overlap, whole words are better than an overlap.
    return end if text[end - 1].isspace() else min(low, end)


def _find_borders(border: re.Pattern[str], text: str, start: int, stop: int) -> list[int]:
    return [match.end() for match in border.finditer(text, start, stop)]
