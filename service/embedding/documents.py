"""Turns item texts with markup into the plain texts that are embedded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from service import errors
from service.domain.text_formats import TextFormat, to_plain_text

# Characters that are stripped of markup on the event loop, in about 5 ms.
MAX_INLINE_CHARACTERS = 10_000


async def read_documents(
    texts: Iterable[str], text_format: TextFormat
) -> tuple[dict[str, str], dict[str, errors.AkinError]]:
    """Return the plain text of each text, and the errors of texts that have none."""
    texts = list(texts)
    if sum(map(len, texts)) <= MAX_INLINE_CHARACTERS:
        plain_texts = _strip(texts, text_format)
    else:
        loop = asyncio.get_running_loop()
        plain_texts = await loop.run_in_executor(None, _strip, texts, text_format)
    documents: dict[str, str] = {}
    failures: dict[str, errors.AkinError] = {}
    for text, plain in zip(texts, plain_texts, strict=True):
        if plain:
            documents[text] = plain
        else:
            failures[text] = errors.TextRejected("must have text outside of markup")
    return documents, failures


def _strip(texts: Sequence[str], text_format: TextFormat) -> list[str]:
    return [to_plain_text(text, text_format) for text in texts]
