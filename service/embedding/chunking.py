"""Splits a text that exceeds a model's context into chunks that fit.

A chunk ends at the end of a paragraph if possible, or else of a sentence, a word or a character.
The next chunk starts a little before that end, so that a thought at the border is whole in one of
them. No part of the text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# English has about 4 bytes a token, Chinese 3 bytes a character: estimates err to the safe side.
BYTES_PER_TOKEN = 3

# The share of a chunk that the next one repeats: a few sentences of a long chunk.
OVERLAP_SHARE = 0.1

# The least share of a chunk that is filled: a word border is better than a very short chunk.
MIN_FILL_SHARE = 0.5

# Kinds of borders between chunks, best first.
_BORDERS = (
    re.compile(r"\n[^\S\n]*\n\s*"),  # a paragraph
    re.compile(r"(?<=[.!?。！？])[\"')\]”’]*\s+|(?<=[。！？])|\n\s*"),  # a sentence or a line
    re.compile(r"\s+"),  # a word
)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    return len(text.encode()) // BYTES_PER_TOKEN + 1


def split(text: str, max_tokens: int) -> list[str]:
    """Return the chunks of a text, each of at most about `max_tokens` tokens."""
    return [text[start:end] for start, end in find_spans(text, max_tokens)]


def find_spans(text: str, max_tokens: int) -> list[tuple[int, int]]:
    """Return the start and end of each chunk of a text, in characters."""
    if estimate_tokens(text) <= max_tokens:
        return [(0, len(text))]
    return list(_generate_spans(text, max_tokens))


def _generate_spans(text: str, max_tokens: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        size = _count_fitting(text, start, (max_tokens - 1) * BYTES_PER_TOKEN)
        if start + size >= len(text):
            if text[start:].strip():
                yield start, len(text)
            return
        end = _find_end(text, start + int(size * MIN_FILL_SHARE), start + size)
        if text[start:end].strip():
            yield start, end
        start = _find_next_start(text, max(start + 1, end - int(size * OVERLAP_SHARE)), end)


def _count_fitting(text: str, start: int, max_bytes: int) -> int:
    """Return how many characters from `start` fit into `max_bytes` of UTF-8, at least 1."""
    encoded = text[start : start + max_bytes].encode()[:max_bytes]
    return max(1, len(encoded.decode(errors="ignore")))


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
    return min(low, end)


def _find_borders(border: re.Pattern[str], text: str, start: int, stop: int) -> list[int]:
    return [match.end() for match in border.finditer(text, start, stop)]
