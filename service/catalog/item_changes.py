"""Updates of single items: only what changes is embedded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from service import errors
from service.catalog.generations import CatalogGenerations
from service.catalog.item_vectors import check_own_vectors, choose_vectors, embed_items
from service.domain.attributes_validation import attributes_violations
from service.domain.items import Item, StoredItem
from service.domain.usage import EmbeddingUsage
from service.domain.writes import ItemUpdate
from service.storage.items import ItemStore
from service.storage.records import ItemVectors, require_sequence

# Attempts at an update whose item gets other texts while its present text is embedded.
UPDATE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """A stored item, whether this call embedded its text, and the usage."""

    stored: StoredItem
    embedded: bool
    usage: EmbeddingUsage


class _TextChanged(errors.SequenceMismatch):
    """The text of an item changed while its vectors were made."""


class ItemChanges:
    """Changes items of one catalog.

    Args:
        store: the items on disk.
        generations: embeds texts.
    """

    def __init__(self, store: ItemStore, generations: CatalogGenerations) -> None:
        self._store = store
        self._generations = generations
        self._generation = generations.serving.generation

    async def update(self, update: ItemUpdate) -> WrittenItem:
        """Change some fields of an item, and return it as it is on disk.

        Raises:
            InvalidRequest: the model rejects the text, or the changed item breaks a limit.
            ItemNotFound: the item does not exist.
            SequenceMismatch: the item does not have the expected sequence number, or its text keeps
                changing during the call.
            EmbeddingUnavailable, EmbeddingRejected: with `require_indexed`, the text cannot be
                embedded now.
        """
        if not update.changes_vectors:
            stored = await self._store.update(
                self._generation,
                update.item.item_id,
                lambda item: _change(item, update),
                expected_sequence=update.expected_sequence,
            )
            return WrittenItem(stored, embedded=False, usage=EmbeddingUsage())
        for _ in range(UPDATE_ATTEMPTS - 1):
            with suppress(_TextChanged):
                return await self._replace_vectors(update)
        return await self._replace_vectors(update)

    async def _replace_vectors(self, update: ItemUpdate) -> WrittenItem:
        """Change an item that gets other vectors.

        Raises:
            _TextChanged: another call changed the text, which is not part of the update.
        """
        item_id, expected_sequence = update.item.item_id, update.expected_sequence
        # Do not pay for an item that cannot be stored.
        former = (await self._store.get_many(self._generation, [item_id])).get(item_id)
        if former is None:
            raise errors.ItemNotFound(f"item {item_id!r} does not exist")
        require_sequence("item", item_id, former, expected_sequence)
        (item,) = await check_own_vectors([_change(former.item, update)], self._generations.serving)
        if isinstance(item, errors.InvalidRequest):
            raise item
        embedded = await embed_items(self._generations, [item])
        vectors = choose_vectors(item, embedded, require_indexed=update.require_indexed)
        if isinstance(vectors, errors.AkinError):
            raise vectors
        stored = await self._store_vectors(update, item.text, vectors)
        return WrittenItem(stored, item.text in embedded.outcome.embedded_texts, embedded.usage)

    async def _store_vectors(
        self, update: ItemUpdate, text: str, vectors: ItemVectors
    ) -> StoredItem:
        item_id = update.item.item_id

        def change(current: Item) -> Item:
            item = _change(current, update)
            if item.text != text:
                raise _TextChanged(f"the text of item {item_id!r} has changed; call again")
            return item

        return await self._store.update(
            self._generation, item_id, change, vectors, update.expected_sequence
        )


def _change(stored: Item, update: ItemUpdate) -> Item:
    """Return the changed item; the merged attributes must keep the limits together."""
    item = update.apply_to(stored)
    errors.raise_if_invalid(attributes_violations(item.attributes, "item.attributes"))
    return item
