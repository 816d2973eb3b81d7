"""The vectors that an item is stored with, or why it cannot be stored."""

from __future__ import annotations

from service import errors
from service.catalog.generations import EmbeddedTexts
from service.domain.items import Item
from service.embedding.text_embedder import to_field_error
from service.storage.records import ItemVectors, ItemWrite


def make_write(
    item: Item, embedded: EmbeddedTexts, *, require_indexed: bool
) -> ItemWrite | errors.AkinError:
    """Return the write of an imported item, or its error."""
    vectors = choose_vectors(item.text, embedded, require_indexed=require_indexed)
    return vectors if isinstance(vectors, errors.AkinError) else ItemWrite(item, vectors)


def choose_vectors(
    text: str, embedded: EmbeddedTexts, *, require_indexed: bool
) -> ItemVectors | errors.AkinError:
    """Return the vectors of an item's text, or why the item cannot be stored."""
    failure = embedded.outcome.failures.get(text)
    others = embedded.other_chunks(text) if embedded.others else {}
    if failure is None:
        chunks = embedded.outcome.chunks[text]
        return ItemVectors(chunks, others=others, required=require_indexed)
    if isinstance(failure, errors.TEMPORARY_EMBEDDING_ERRORS) and not require_indexed:
        return ItemVectors((), failure.reason, failure.message, others)
    return to_field_error(failure, "item.text")
