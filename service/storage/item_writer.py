"""How items are written: the port of the stores, and what a write means in each generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.domain.items import ItemState, StoredItem
from service.domain.own_vectors import is_own_address
from service.domain.vectors import Chunk
from service.storage.records import NOT_YET_MESSAGE, NOT_YET_REASON, ItemWrite
from service.storage.writer import Transaction


class ItemWriter(Protocol):
    """Writes items in the transaction of a store."""

    def upsert(
        self,
        transaction: Transaction,
        written: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[ItemWrite],
    ) -> list[StoredItem]:
        """Store items in order in every generation of their catalog.

        Until the text of an item is embedded, its previous vectors serve.

        Args:
            transaction: the transaction of the write.
            written: the generation of the chunks of the writes.
            live_generations: all generations of the catalog.
            writes: the items; of two with the same id the later one remains.

        Raises:
            EmbeddingUnavailable: another generation serves since a text was embedded, and the
                chunks in it are required and missing.
        """

    def remove_vectors(
        self, transaction: Transaction, catalog_id: int, item_keys: Sequence[int]
    ) -> None:
        """Remove the vectors and the pending work of items from every generation."""


class GenerationWrite(NamedTuple):
    """The chunks that an item gets in a generation, or why it is pending there."""

    live: LiveGeneration
    chunks: Sequence[Chunk]
    reason: str = ""
    message: str = ""


def split_by_generation(
    write: ItemWrite, written: Generation, live_generations: Sequence[LiveGeneration]
) -> list[GenerationWrite]:
    """Return what a write stores in each generation.

    Raises:
        EmbeddingUnavailable: the generation that serves has no chunks, and they are required.
    """
    vectors = write.vectors
    parts = []
    for live in live_generations:
        if live.generation.generation_id == written.generation_id:
            chunks = vectors.chunks
            reason, message = vectors.pending_reason, vectors.pending_message
        else:
            chunks = vectors.others.get(live.generation.generation_id, ())
            reason, message = NOT_YET_REASON, NOT_YET_MESSAGE
        if not chunks and vectors.required and live.state is GenerationState.SERVING:
            raise errors.EmbeddingUnavailable(message)
        parts.append(
            GenerationWrite(live, chunks) if chunks else GenerationWrite(live, (), reason, message)
        )
    return parts


def make_stored_item(
    write: ItemWrite, parts: Sequence[GenerationWrite], sequence: int, now_us: int
) -> StoredItem:
    """Return an item as it is stored, with its state in the generation that serves."""
    serving = next((part for part in parts if part.live.state is GenerationState.SERVING), None)
    if serving is not None and not serving.chunks:
        return StoredItem(
            write.item, ItemState.PENDING, sequence, now_us, serving.reason, serving.message
        )
    own = serving is not None and is_own_address(serving.chunks[0].text_hash)
    return StoredItem(write.item, ItemState.INDEXED, sequence, now_us, has_own_vectors=own)
