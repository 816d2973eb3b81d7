"""Splits a text that exceeds a model's context into chunks that fit.

A chunk ends where a paragraph does, or else a sentence, a word, a character; the next one starts
a little before that end, so that no thought is cut for both. Nothing of the text is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.embedding.embedder import BYTES_PER_TOKEN, estimated_tokens

OVERLAP = 0.1
"""The share of a chunk that the next one says again: a few sentences of a long one."""

LEAST_FILL = 0.5
"""A border nearer to a chunk's start than this is not taken: better a worse border."""

_BORDERS = (
    re.compile(r"\n[^\S\n]*\n\s*"),  # a paragraph
    re.compile(r"(?<=[.!?。！？])[\"')\]”’]*\s+|(?<=[。！？])|\n\s*"),  # a sentence or a line
    re.compile(r"\s+"),  # a word
)


def split(text: str, tokens: int) -> list[str]:
    """The chunks of `text`, each of about `tokens` tokens at most; the text itself if it fits."""
    return [text[start:end] for start, end in spans(text, tokens)]


def spans(text: str, tokens: int) -> list[tuple[int, int]]:
    """Where the chunks of `split` start and end in `text`, in characters."""
    if estimated_tokens(text) <= tokens:
        return [(0, len(text))]
    return list(_spans(text, tokens))


def _spans(text: str, tokens: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        room = _characters(text, start, (tokens - 1) * BYTES_PER_TOKEN)
        if start + room >= len(text):
            if text[start:].strip():
                yield start, len(text)
            return
        end = _border(text, start + int(room * LEAST_FILL), start + room)
        if text[start:end].strip():
            yield start, end
        start = _resume(text, max(start + 1, end - int(room * OVERLAP)), end)


def _characters(text: str, start: int, size: int) -> int:
    """How many characters from `start` fit into `size` bytes of UTF-8, at least one."""
    some = text[start : start + size].encode()[:size]
    return max(1, len(some.decode(errors="ignore")))


def _border(text: str, least: int, most: int) -> int:
    """The last border of the best kind in (least, most]; `most` if there is none."""
    for border in _BORDERS:
        ends = [end for end in _ends(border, text, least, most) if end > least]
        if ends:
            return ends[-1]
    return most


def _resume(text: str, least: int, end: int) -> int:
    """Where the chunk after one that ends at `end` starts, not before `least`."""
    for border in _BORDERS:
        for start in _ends(border, text, least, end):
            if least <= start < end:
                return start
    return min(least, end)


def _ends(border: re.Pattern[str], text: str, start: int, stop: int) -> list[int]:
    return [match.end() for match in border.finditer(text, start, stop)]
