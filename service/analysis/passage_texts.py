"""Reads the passages of chunks: the parts of item texts that vectors stand for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from service.domain.analyses import Passage
from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.own_vectors import is_own_address
from service.domain.text_formats import to_plain_text
from service.domain.vectors import Vectors
from service.embedding.prompts import Prompt
from service.embedding.text_embedder import TextEmbedder
from service.index.item_index import ItemIndex
from service.storage.items import ItemStore

# Texts in memory at once, of 1 MiB at most.
PASSAGE_TEXTS_AT_ONCE = 20


class ScoredChunk(NamedTuple):
    """A chunk by its position among those of its item, and its score."""

    item_id: str
    position: int
    score: float


class ReadPassages(NamedTuple):
    """Passages, the ids of items that have changed, and the characters of the texts read.

    `unlocated_characters` are those of texts that would now be split differently.
    """

    passages: list[Passage]
    changed_ids: set[str]
    characters: int
    unlocated_characters: int = 0


def split_into_batches(item_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids of items whose texts may be in memory at once."""
    for start in range(0, len(item_ids), PASSAGE_TEXTS_AT_ONCE):
        yield item_ids[start : start + PASSAGE_TEXTS_AT_ONCE]


def score_chunks(
    item_index: ItemIndex, item_ids: Sequence[str], vectors: Vectors
) -> list[ScoredChunk]:
    """Return the chunks of searchable items with their cosines with the nearest of some vectors."""
    chunks: list[ScoredChunk] = []
    for batch in split_into_batches(item_ids):
        searchable_ids = [item_id for item_id in batch if item_index.find_key(item_id) is not None]
        owned = item_index.vectors.get(item_index.find_keys(searchable_ids))
        scores = (owned.vectors @ vectors.T).max(axis=1, initial=-np.inf)
        first_chunks = np.searchsorted(owned.owners, owned.owners)
        positions = (np.arange(len(scores)) - first_chunks).tolist()
        chunks += [
            ScoredChunk(searchable_ids[owner], position, score)
            for owner, position, score in zip(
                owned.owners.tolist(), positions, scores.tolist(), strict=True
            )
        ]
    return chunks


class PassageReader:
    """Reads the passages of one catalog.

    Args:
        store: has the texts.
        generation: the generation that the chunks belong to.
        text_embedder: splits texts as they were embedded.
    """

    def __init__(
        self, store: ItemStore, generation: Generation, text_embedder: TextEmbedder
    ) -> None:
        self._store = store
        self._generation = generation
        self._text_embedder = text_embedder

    async def read(self, chunks: Sequence[ScoredChunk], sequence: int) -> ReadPassages:
        """Return the passages of chunks, and the ids of items that have changed since `sequence`.

        There are none of items that are pending, that have changed, that have vectors of their
        callers, or that were embedded with other settings.
        """
        chunks_by_id: dict[str, list[ScoredChunk]] = {}
        for chunk in chunks:
            chunks_by_id.setdefault(chunk.item_id, []).append(chunk)
        loop = asyncio.get_running_loop()
        read = ReadPassages([], set(), 0)
        for batch in split_into_batches(list(chunks_by_id)):
            items = await self._store.get_many(self._generation, batch)
            hashes = await self._store.chunk_hashes(self._generation, batch)
            changed_ids, unchanged = _split_by_change(batch, items, sequence)
            passages = await loop.run_in_executor(
                None, self._locate_passages, chunks_by_id, unchanged, hashes
            )
            located_ids = {passage.item_id for passage in passages}
            sizes = {stored.item.item_id: len(stored.item.text) for stored in unchanged}
            read = ReadPassages(
                read.passages + passages,
                read.changed_ids | changed_ids,
                read.characters + sum(len(stored.item.text) for stored in items.values()),
                read.unlocated_characters
                + sum(size for item_id, size in sizes.items() if item_id not in located_ids),
            )
        return read

    def _locate_passages(
        self,
        chunks_by_id: Mapping[str, Sequence[ScoredChunk]],
        items: Iterable[StoredItem],
        hashes_by_id: Mapping[str, Sequence[bytes]],
    ) -> list[Passage]:
        """Return the passages of items, except of those that would now be split differently."""
        passages: list[Passage] = []
        for stored in items:
            item_id = stored.item.item_id
            hashes = hashes_by_id.get(item_id, ())
            # No part of the text is found by such an address, however it is split.
            if any(map(is_own_address, hashes)):
                continue
            text = to_plain_text(stored.item.text, self._generation.text_format)
            prompts = self._text_embedder.split_into_chunks(text, hashes)
            if prompts:
                spans = [prompts[chunk.position] for chunk in chunks_by_id[item_id]]
                passages += _make_passages(text, chunks_by_id[item_id], spans)
        return passages


def _split_by_change(
    item_ids: Collection[str], items: Mapping[str, StoredItem], sequence: int
) -> tuple[set[str], list[StoredItem]]:
    """Return the ids of the items that have changed, and the embedded ones that have not."""
    embedded = [stored for stored in items.values() if stored.state is not ItemState.PENDING]
    changed_ids = {stored.item.item_id for stored in embedded if stored.sequence > sequence}
    changed_ids |= set(item_ids) - items.keys()
    return changed_ids, [stored for stored in embedded if stored.sequence <= sequence]


def _make_passages(
    text: str, chunks: Sequence[ScoredChunk], spans: Sequence[Prompt]
) -> list[Passage]:
    """Return the passages of chunks of a text, by their place in it.

    Args:
        text: the text.
        chunks: some of its chunks.
        spans: their places, in the same order.
    """
    passages: list[Passage] = []
    # Each offset continues from the one before: a text of 1 MiB can have thousands of chunks.
    position = offset = 0
    for span, chunk in sorted(zip(spans, chunks, strict=True)):
        passage = text[span.start : span.end]
        offset += len(text[position : span.start].encode())
        position = span.start
        end_offset = offset + len(passage.encode())
        passages.append(Passage(chunk.item_id, passage, offset, end_offset, chunk.score))
    return passages
