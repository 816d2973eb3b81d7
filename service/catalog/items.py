"""Writes and reads of a catalog's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from service import errors
from service.catalog.generations import CatalogGenerations
from service.catalog.item_changes import ItemChanges, WrittenItem
from service.catalog.item_vectors import (
    check_own_vectors,
    choose_vectors,
    embed_items,
    has_texts_to_embed,
    make_write,
)
from service.domain import limits
from service.domain.filters import Filter
from service.domain.generations import Generation
from service.domain.items import Item, StoredItem
from service.domain.usage import EmbeddingUsage
from service.domain.writes import ItemsDeletion, ItemUpdate, ItemUpsert
from service.embedding.documents import read_documents
from service.embedding.text_embedder import to_field_error
from service.storage.items import ItemStore
from service.storage.records import Deletion, ItemWrite, require_sequence

# Attempts at a filtered page whose items are being written, before it is returned shorter.
PAGE_ATTEMPTS = 3

# A limit that no catalog reaches.
ALL_ITEMS = 2**62


@dataclass(frozen=True, slots=True)
class ListedItems:
    """A page of items; `last_id` continues the list and is empty on the last page."""

    items: Sequence[StoredItem]
    last_id: str
    total: int


@dataclass(frozen=True, slots=True)
class PreparedItems:
    """Items of an import that are ready to be stored, or their errors, and the usage.

    Entries are None if the import only validates.
    """

    generation: Generation
    entries: Sequence[ItemWrite | errors.AkinError | None]
    usage: EmbeddingUsage


class CatalogItems:
    """The items of one catalog.

    Args:
        store: the items on disk.
        generations: embeds texts, and tells when a write can be read.
    """

    def __init__(self, store: ItemStore, generations: CatalogGenerations) -> None:
        self._store = store
        self._generations = generations
        self._generation = generations.serving.generation
        self._reader = generations.serving.reader
        self._changes = ItemChanges(store, generations)

    async def upsert(self, upsert: ItemUpsert) -> WrittenItem:
        """Store an item; return once it is on disk and later reads reflect it.

        Raises:
            InvalidRequest: the model rejects the text, or own vectors have another width.
            SequenceMismatch: the item does not have the expected sequence number.
            EmbeddingUnavailable, EmbeddingRejected: with `require_indexed`, the text cannot be
                embedded now.
        """
        item = upsert.item
        if upsert.expected_sequence is not None:  # do not pay for an item that cannot be stored
            items = await self._store.get_many(self._generation, [item.item_id])
            require_sequence(
                "item", item.item_id, items.get(item.item_id), upsert.expected_sequence
            )
        (checked,) = await check_own_vectors([item], self._generations.serving)
        if isinstance(checked, errors.InvalidRequest):
            raise checked
        embedded = await embed_items(self._generations, [item])
        vectors = choose_vectors(item, embedded, require_indexed=upsert.require_indexed)
        if isinstance(vectors, errors.AkinError):
            raise vectors
        write = ItemWrite(item, vectors)
        (stored,) = await self._store.upsert_many(
            embedded.generation, [write], upsert.expected_sequence
        )
        await self._generations.wait_for(stored.sequence)
        return WrittenItem(stored, item.text in embedded.outcome.embedded_texts, embedded.usage)

    async def update(self, update: ItemUpdate) -> WrittenItem:
        """Change some fields of an item; return once later reads reflect it.

        Only a text in the update mask is embedded, or the present one if the item loses its own
        vectors.

        Raises:
            InvalidRequest: the model rejects the text, or the changed item breaks a limit.
            ItemNotFound: the item does not exist.
            SequenceMismatch: the item does not have the expected sequence number, or its text keeps
                changing during the call.
            EmbeddingUnavailable, EmbeddingRejected: with `require_indexed`, the text cannot be
                embedded now.
        """
        written = await self._changes.update(update)
        await self._generations.wait_for(written.stored.sequence)
        return written

    async def prepare_import(
        self, items: Sequence[Item | errors.InvalidRequest], *, require_indexed: bool
    ) -> PreparedItems:
        """Embed the items of an import.

        Raises:
            Overloaded: the embedding queue is full.
        """
        items = await check_own_vectors(items, self._generations.serving)
        # An import waits only for other imports with the same model, which may hang. Without a text
        # to embed it waits for none.
        slots = self._generations.serving.text_embedder.import_slots
        async with slots if has_texts_to_embed(items) else nullcontext():
            embedded = await embed_items(self._generations, items, low_priority=True)
        entries = [
            item
            if isinstance(item, errors.InvalidRequest)
            else make_write(item, embedded, require_indexed=require_indexed)
            for item in items
        ]
        return PreparedItems(embedded.generation, entries, embedded.usage)

    async def estimate_import(self, items: Sequence[Item | errors.InvalidRequest]) -> PreparedItems:
        """Estimate the usage of embedding the valid items of an import; nothing is stored."""
        serving = self._generations.serving
        items = await check_own_vectors(items, serving)
        texts = {item.text for item in items if isinstance(item, Item) and not item.vectors}
        usage = await serving.add_cost(await serving.text_embedder.estimate(texts))
        _, failures = await read_documents(texts, self._generation.text_format)
        entries = [
            to_field_error(failures[item.text], "item.text")
            if isinstance(item, Item) and item.text in failures
            else None
            if isinstance(item, Item)
            else item
            for item in items
        ]
        return PreparedItems(self._generation, entries, usage)

    async def store_import(
        self, prepared: PreparedItems
    ) -> list[StoredItem | errors.AkinError | None]:
        """Store prepared items in order; return once later reads reflect them."""
        writes = [entry for entry in prepared.entries if isinstance(entry, ItemWrite)]
        stored = iter(await self._store_all(prepared.generation, writes) if writes else [])
        outcomes = [
            next(stored) if isinstance(entry, ItemWrite) else entry for entry in prepared.entries
        ]
        sequences = [item.sequence for item in outcomes if isinstance(item, StoredItem)]
        await self._generations.wait_for(max(sequences, default=0))
        return outcomes

    async def _store_all(
        self, generation: Generation, writes: Sequence[ItemWrite]
    ) -> list[StoredItem | errors.AkinError]:
        """Store items; return the error of each that required vectors which it does not have."""
        try:
            return list(await self._store.upsert_many(generation, writes))
        except errors.EmbeddingUnavailable as exc:
            # Another generation serves now; store the items that have vectors in it.
            outcomes: list[StoredItem | errors.AkinError] = [exc] * len(writes)
        for number, write in enumerate(writes):
            with suppress(errors.EmbeddingUnavailable):
                (outcomes[number],) = await self._store.upsert_many(generation, [write])
        return outcomes

    async def get(self, item_id: str, *, with_vectors: bool = False) -> StoredItem:
        """Return an item, with its vectors on request.

        Raises:
            ItemNotFound: the item does not exist.
        """
        items = await self._store.get_many(self._generation, [item_id], with_vectors=with_vectors)
        if item_id not in items:
            raise errors.ItemNotFound(f"item {item_id!r} does not exist")
        return items[item_id]

    async def get_many(
        self, item_ids: Sequence[str], *, with_vectors: bool = False
    ) -> Mapping[str, StoredItem]:
        """Return those of the items that exist, by id, with their vectors on request.

        Raises:
            AnswerTooLarge: the texts or the vectors do not fit into one message.
        """
        return await self._store.get_many(
            self._generation,
            item_ids,
            with_vectors=with_vectors,
            max_text_bytes=limits.MESSAGE_BYTES,
        )

    async def list_page(
        self, after: str, page_size: int, filter_: Filter | None, *, with_vectors: bool = False
    ) -> ListedItems:
        """Return a page of matching items with ids after `after`, in ascending byte order."""
        if filter_ is not None:
            return await self._list_matching(after, page_size, filter_, with_vectors=with_vectors)
        page = await self._store.list_page(
            self._generation, after, page_size, limits.PAGE_BYTES, with_vectors=with_vectors
        )
        last_id = page.items[-1].item.item_id if page.more else ""
        return ListedItems(page.items, last_id, page.total)

    async def _list_matching(
        self, after: str, page_size: int, filter_: Filter, *, with_vectors: bool
    ) -> ListedItems:
        for _ in range(PAGE_ATTEMPTS):
            # One more id than requested tells whether there is another page.
            item_ids, total, sequence = await self._reader.list_matching(
                filter_, after, page_size + 1
            )
            page_ids = item_ids[:page_size]
            read, is_cut = await self._store.get_page(
                self._generation, page_ids, limits.PAGE_BYTES, with_vectors=with_vectors
            )
            # An item that was written since may no longer match.
            items = [item for item in read if item.sequence <= sequence]
            if len(items) == len(page_ids) or (is_cut and len(items) == len(read)):
                break
            await self._reader.wait_for(await self._store.refresh())
        if is_cut:
            return ListedItems(items, read[-1].item.item_id, total)
        return ListedItems(items, page_ids[-1] if len(item_ids) > page_size else "", total)

    async def delete(self, item_id: str, *, allow_missing: bool) -> int:
        """Delete an item; return the sequence number, 0 if it did not exist.

        Raises:
            ItemNotFound: the item does not exist, and `allow_missing` is false.
        """
        deletion = await self._store.delete_many(self._generation, [item_id])
        if not deletion.deleted_count and not allow_missing:
            raise errors.ItemNotFound(f"item {item_id!r} does not exist")
        await self._generations.wait_for(deletion.sequence)
        return deletion.sequence

    async def delete_many(self, deletion: ItemsDeletion) -> Deletion:
        """Delete items by id or filter; with `validate_only` only count them.

        Items are deleted in batches if a filter selects them, and an item that is written during
        the call stays.

        Raises:
            AkinError: as the store raises it; its metadata has the number of deleted items.
        """
        if deletion.filter is None:
            return await self._delete_ids(deletion)
        await self._reader.wait_for(await self._store.refresh())
        if deletion.validate_only:
            _, total, _ = await self._reader.list_matching(deletion.filter, "", 0)
            return Deletion(total, 0)
        item_ids, _, sequence = await self._reader.list_matching(deletion.filter, "", ALL_ITEMS)
        count = last_sequence = 0
        for start in range(0, len(item_ids), limits.BATCH_ITEMS):
            batch = item_ids[start : start + limits.BATCH_ITEMS]
            try:
                deleted = await self._store.delete_many(self._generation, batch, sequence)
            except errors.AkinError as exc:
                raise _add_deleted(exc, count) from exc
            count += deleted.deleted_count
            last_sequence = max(last_sequence, deleted.sequence)
        await self._generations.wait_for(last_sequence)
        return Deletion(count, last_sequence)

    async def _delete_ids(self, deletion: ItemsDeletion) -> Deletion:
        if deletion.validate_only:
            items = await self._store.get_many(self._generation, deletion.item_ids)
            return Deletion(len(items), 0)
        deleted = await self._store.delete_many(self._generation, deletion.item_ids)
        await self._generations.wait_for(deleted.sequence)
        return deleted


def _add_deleted(error: errors.AkinError, count: int) -> errors.AkinError:
    """Return the same error with the number of items that were deleted before, if any."""
    suffix = f"; items that are deleted already: {count}" if count else ""
    failure = type(error)(f"{error.message}{suffix}")
    failure.metadata = {"deletedCount": str(count)}
    return failure
