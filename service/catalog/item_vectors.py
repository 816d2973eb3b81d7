"""The vectors that an item is stored with, or why it cannot be stored."""

from __future__ import annotations

from collections.abc import Sequence

from service import errors
from service.catalog.generations import CatalogGenerations, EmbeddedTexts, OpenGeneration
from service.domain.items import Item
from service.domain.own_vectors import make_own_chunks, own_width_violations
from service.domain.violations import Violation
from service.embedding.documents import read_documents
from service.embedding.text_embedder import to_field_error
from service.storage.records import ItemVectors, ItemWrite


async def check_own_vectors(
    items: Sequence[Item | errors.InvalidRequest], serving: OpenGeneration
) -> list[Item | errors.InvalidRequest]:
    """Return items, with errors in place of those whose own vectors do not fit the catalog.

    The text of such an item must be one that could be embedded, because a re-embedding embeds it.
    """
    texts = {item.text for item in items if isinstance(item, Item) and item.vectors}
    _, failures = await read_documents(texts, serving.generation.text_format)
    dimensions = serving.text_embedder.space.dimensions

    def check(item: Item | errors.InvalidRequest) -> Item | errors.InvalidRequest:
        if not isinstance(item, Item) or not item.vectors:
            return item
        violations = [*own_width_violations(item.vectors, dimensions, "item.vectors")]
        if item.text in failures:
            violations.append(Violation("item.text", failures[item.text].message))
        return errors.InvalidRequest(violations) if violations else item

    return [check(item) for item in items]


async def embed_items(
    generations: CatalogGenerations,
    items: Sequence[Item | errors.InvalidRequest],
    *,
    low_priority: bool = False,
) -> EmbeddedTexts:
    """Embed the texts of items, except where an item has vectors of its own.

    Raises:
        Overloaded: the embedding queue is full.
    """
    valid = [item for item in items if isinstance(item, Item)]
    return await generations.embed_documents(
        {item.text for item in valid if not item.vectors},
        own_texts={item.text for item in valid if item.vectors},
        low_priority=low_priority,
    )


def has_texts_to_embed(items: Sequence[Item | errors.InvalidRequest]) -> bool:
    """Return whether an item has no vectors of its own."""
    return any(isinstance(item, Item) and not item.vectors for item in items)


def make_write(
    item: Item, embedded: EmbeddedTexts, *, require_indexed: bool
) -> ItemWrite | errors.AkinError:
    """Return the write of an imported item, or its error."""
    vectors = choose_vectors(item, embedded, require_indexed=require_indexed)
    return vectors if isinstance(vectors, errors.AkinError) else ItemWrite(item, vectors)


def choose_vectors(
    item: Item, embedded: EmbeddedTexts, *, require_indexed: bool
) -> ItemVectors | errors.AkinError:
    """Return the vectors of an item, its own or those of its text, or why it cannot be stored."""
    others = embedded.other_chunks(item.text) if embedded.others else {}
    if item.vectors:
        chunks = make_own_chunks(item.vectors)
        return ItemVectors(chunks, others=others, required=require_indexed)
    failure = embedded.outcome.failures.get(item.text)
    if failure is None:
        text_chunks = embedded.outcome.chunks[item.text]
        return ItemVectors(text_chunks, others=others, required=require_indexed)
    if isinstance(failure, errors.TEMPORARY_EMBEDDING_ERRORS) and not require_indexed:
        return ItemVectors((), failure.reason, failure.message, others)
    return to_field_error(failure, "item.text")
