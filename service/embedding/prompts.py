"""Prompts: what the model sees of a text, which is each chunk inside of the space's template."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.embedding.chunking import find_spans, halve

# How often a chunk is halved while the model finds it too long. Estimates are at most 3 times too
# low, and the settings may claim a larger context than the model has.
MAX_SPLITS = 5


class Prompt(NamedTuple):
    """A chunk of a text inside of a template.

    `start` and `end` are the place of the chunk in its text, in characters. `text_hash` is the
    address of the vector.
    """

    start: int
    end: int
    text: str
    text_hash: bytes


def render(text: str, template: str, max_tokens: int) -> list[Prompt]:
    """Return the prompts of a text, whose chunks have at most about `max_tokens` tokens."""
    spans = find_spans(text, max_tokens)
    return [_make_prompt(text, start, end, template) for start, end in spans]


def split_too_long(
    prompts: Sequence[Prompt], text: str, template: str, is_too_long: Callable[[Prompt], bool]
) -> list[Prompt]:
    """Return prompts of about half the length in place of those that are too long.

    A prompt that is still too long is split again, unless its chunk is very short.
    """
    parts = list(prompts)
    for _ in range(MAX_SPLITS):
        if not any(map(is_too_long, parts)):
            break
        parts = [
            part
            for prompt in parts
            for part in (_halve(prompt, text, template) if is_too_long(prompt) else (prompt,))
        ]
    return parts


def hash_text(text: str) -> bytes:
    """Return the address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def _halve(prompt: Prompt, text: str, template: str) -> list[Prompt]:
    offset = prompt.start
    return [
        _make_prompt(text, offset + start, offset + end, template)
        for start, end in halve(text[prompt.start : prompt.end])
    ]


def _make_prompt(text: str, start: int, end: int, template: str) -> Prompt:
    prompt = template.replace("{text}", text[start:end])
    return Prompt(start, end, prompt, hash_text(prompt))
