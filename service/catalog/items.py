"""The use cases that write, and that read back what was written: items and users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service import errors
from service.catalog.handle import Embedded, Generations
from service.domain import limits
from service.domain.filters import Filter, count_conditions
from service.domain.generations import Generation
from service.domain.items import Item, StoredItem
from service.domain.stats import CatalogStats
from service.domain.usage import DailyUsage, EmbeddingUsage
from service.domain.users import StoredUser, User
from service.domain.validation import (
    id_violations,
    item_violations,
    page_violations,
    user_violations,
)
from service.domain.violations import Violation
from service.embedding.text_embedder import to_field_error
from service.storage import Store
from service.storage.records import ItemWrite

USAGE_DAYS = 31
ROUNDS = 3
"""So often a filtered page is read anew because its items were written meanwhile."""


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of one upsert; `embedded` tells whether this call had its text embedded."""

    stored: StoredItem
    embedded: bool
    usage: EmbeddingUsage


@dataclass(frozen=True, slots=True)
class Page:
    """One page of items; `last_id` continues the list, and is empty on the last page."""

    items: Sequence[StoredItem]
    last_id: str
    total: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Items ready to be stored with vectors of `generation`, or their errors, and the usage."""

    generation: Generation
    writes: Sequence[ItemWrite | errors.AkinError]
    usage: EmbeddingUsage


class CatalogItems:
    """The items and users of one catalog.

    `found` is what reading a request found wrong with it, to be told with the rest.
    """

    def __init__(self, store: Store, generations: Generations, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._generations = generations
        self._clock_us = clock_us

    async def upsert_item(
        self,
        item: Item,
        *,
        require_indexed: bool,
        expected_sequence: int | None,
        found: Sequence[Violation] = (),
    ) -> Upserted:
        """Stores one item; returns once it is on disk and recommended.

        Raises:
            InvalidRequest: the item breaks the contract.
            SequenceMismatch: its sequence is not the expected one, 0 standing for no such item.
            EmbeddingUnavailable: with `require_indexed`, its text cannot be embedded for now.
        """
        violations = list(item_violations(item, "item", self._clock_us()))
        if expected_sequence is not None and expected_sequence < 0:
            violations.append(Violation("expected_sequence", "must not be negative"))
        errors.raise_if_invalid((*violations, *found))
        embedded = await self._generations.documents([item.text])
        write = _write(item, embedded, require_indexed=require_indexed)
        if isinstance(write, errors.AkinError):
            raise write
        (stored,) = await self._store.upsert_items(embedded.generation, [write], expected_sequence)
        await self._generations.reached(stored.sequence)
        return Upserted(stored, item.text in embedded.outcome.embedded_texts, embedded.usage)

    async def prepare(
        self, items: Sequence[Item | errors.InvalidRequest], *, require_indexed: bool
    ) -> Prepared:
        """Checks and embeds items to import; each gets its write or its own error.

        Raises:
            InvalidRequest: there are too many at once.
            Overloaded: too many texts wait to be embedded.
        """
        checked = self._checked(items)
        embedded = await self._generations.documents(
            {each.text for each in checked if isinstance(each, Item)}, patient=True
        )
        writes = [
            _write(each, embedded, require_indexed=require_indexed)
            if isinstance(each, Item)
            else each
            for each in checked
        ]
        return Prepared(embedded.generation, writes, embedded.usage)

    async def estimate(
        self, items: Sequence[Item | errors.InvalidRequest]
    ) -> tuple[list[errors.InvalidRequest | None], EmbeddingUsage]:
        """Checks items to import, and estimates what embedding the good ones would take.

        Raises:
            InvalidRequest: there are too many at once.
        """
        checked = self._checked(items)
        good = {each.text for each in checked if isinstance(each, Item)}
        found = [None if isinstance(each, Item) else each for each in checked]
        serving = self._generations.serving
        usage = await serving.text_embedder.estimate(good)
        if usage.prompt_tokens:
            usage = replace(usage, cost_usd=usage.prompt_tokens * await serving.usd_per_token())
        return found, usage

    async def stats(self, found: Sequence[Violation] = ()) -> CatalogStats:
        """What operators want to know.

        Raises:
            InvalidRequest: the request breaks the contract.
        """
        errors.raise_if_invalid(found)
        usage = await self._store.spend_by_day(USAGE_DAYS)
        serving = self._generations.serving
        return CatalogStats(
            name=serving.generation.name,
            item_count=await self._store.count_items(serving.generation),
            user_count=await self._store.count_users(serving.generation),
            sequence=await self._store.refresh(),
            space=serving.text_embedder.space,
            pending=await self._store.pending_reasons(serving.generation),
            usage=[
                DailyUsage(day, each.prompt_tokens, each.cost_usd) for day, each in usage.items()
            ],
            embedding_problem=serving.text_embedder.problem.message,
            index=serving.follower.stats(),
            vector_storage=serving.storage,
        )

    async def store(self, prepared: Prepared) -> list[StoredItem | errors.AkinError]:
        """Stores prepared items in order; returns once they are on disk and recommended."""
        writes = [write for write in prepared.writes if isinstance(write, ItemWrite)]
        stored = iter(await self._store.upsert_items(prepared.generation, writes) if writes else [])
        results = [
            next(stored) if isinstance(each, ItemWrite) else each for each in prepared.writes
        ]
        sequences = [each.sequence for each in results if isinstance(each, StoredItem)]
        await self._generations.reached(max(sequences, default=0))
        return results

    async def get_item(self, item_id: str, found: Sequence[Violation] = ()) -> StoredItem:
        """One item.

        Raises:
            ItemNotFound: there is none.
        """
        errors.raise_if_invalid((*id_violations(item_id, "item_id"), *found))
        items = await self._store.get_items(self._generations.serving.generation, [item_id])
        if item_id not in items:
            raise errors.ItemNotFound("there is no such item")
        return items[item_id]

    async def delete_item(
        self, item_id: str, *, allow_missing: bool, found: Sequence[Violation] = ()
    ) -> int:
        """Deletes one item; returns the delete's sequence once it is no longer recommended.

        Raises:
            ItemNotFound: there is none, and `allow_missing` is not set.
        """
        errors.raise_if_invalid((*id_violations(item_id, "item_id"), *found))
        sequence = await self._store.delete_item(self._generations.serving.generation, item_id)
        if not sequence and not allow_missing:
            raise errors.ItemNotFound("there is no such item")
        await self._generations.reached(sequence)
        return sequence

    async def list_items(
        self,
        after: str,
        page_size: int,
        wanted: Filter | None = None,
        found: Sequence[Violation] = (),
    ) -> Page:
        """A page of the items that pass, with ids beyond `after`, ascending in byte order.

        Raises:
            InvalidRequest: the page size is not between 1 and PAGE_ITEMS, or the filter is bad.
        """
        errors.raise_if_invalid((*page_violations(page_size, wanted), *found))
        if wanted is not None:
            return await self._passing_items(after, page_size, wanted)
        page = await self._store.list_items(
            self._generations.serving.generation, after, page_size, limits.PAGE_BYTES
        )
        return Page(page.items, page.items[-1].item.item_id if page.more else "", page.total)

    async def _passing_items(self, after: str, page_size: int, wanted: Filter) -> Page:
        # One more than asked tells whether there is another page.
        serving = self._generations.serving
        for _ in range(ROUNDS):
            sequence, ids, total = await serving.follower.read(
                lambda item_index: (
                    item_index.sequence,
                    *item_index.passing(wanted, after, page_size + 1),
                ),
                queries=1,
                conditions=count_conditions(wanted),
            )
            page = ids[:page_size]
            found, cut = await self._store.named_items(serving.generation, page, limits.PAGE_BYTES)
            # What was written since may not pass any more.
            items = [each for each in found if each.sequence <= sequence]
            if len(items) == len(page) or (cut and len(items) == len(found)):
                break
            await serving.follower.reached(await self._store.refresh())
        if cut:
            return Page(items, found[-1].item.item_id, total)
        return Page(items, page[-1] if len(ids) > page_size else "", total)

    async def upsert_user(
        self, user: User, found: Sequence[Violation] = ()
    ) -> tuple[StoredUser, EmbeddingUsage]:
        """Stores one user with the vectors of the preferences.

        Raises:
            InvalidRequest: the user breaks the contract.
            EmbeddingUnavailable: a preference cannot be embedded for now.
        """
        errors.raise_if_invalid((*user_violations(user, "user"), *found))
        embedded = await self._generations.queries({each.text for each in user.preferences})
        outcome = embedded.outcome
        rejected = [
            Violation(f"user.preferences[{number}].text", failure.message)
            for number, each in enumerate(user.preferences)
            if isinstance(failure := outcome.failures.get(each.text), errors.TextRejected)
        ]
        errors.raise_if_invalid(rejected)
        for failure in outcome.failures.values():
            raise failure
        vectors = [each for some in outcome.chunks.values() for each in some]
        others = {
            generation_id: [each for some in found.chunks.values() for each in some]
            for generation_id, found in embedded.others.items()
        }
        stored = await self._store.upsert_user(embedded.generation, user, vectors, others)
        return stored, embedded.usage

    async def get_user(self, user_id: str, found: Sequence[Violation] = ()) -> StoredUser:
        """One user.

        Raises:
            UserNotFound: there is none.
        """
        errors.raise_if_invalid((*id_violations(user_id, "user_id"), *found))
        stored = await self._store.get_user(self._generations.serving.generation, user_id)
        if stored is None:
            raise errors.UserNotFound("there is no such user")
        return stored

    async def delete_user(self, user_id: str, found: Sequence[Violation] = ()) -> None:
        """Deletes one user.

        Raises:
            UserNotFound: there is none.
        """
        errors.raise_if_invalid((*id_violations(user_id, "user_id"), *found))
        if not await self._store.delete_user(self._generations.serving.generation, user_id):
            raise errors.UserNotFound("there is no such user")

    def _checked(
        self, items: Sequence[Item | errors.InvalidRequest]
    ) -> list[Item | errors.InvalidRequest]:
        if len(items) > limits.IMPORT_ITEMS:
            raise errors.invalid_field("items", f"must have at most {limits.IMPORT_ITEMS} entries")
        now_us = self._clock_us()
        return [_checked(item, now_us) for item in items]


def _checked(item: Item | errors.InvalidRequest, now_us: int) -> Item | errors.InvalidRequest:
    if isinstance(item, errors.InvalidRequest):
        return item
    violations = tuple(item_violations(item, "item", now_us))
    return errors.InvalidRequest(violations) if violations else item


def _write(
    item: Item, embedded: Embedded, *, require_indexed: bool
) -> ItemWrite | errors.AkinError:
    """What to store for an item, given the outcome for its text."""
    failure, others = embedded.outcome.failures.get(item.text), embedded.chunks(item.text)
    if failure is None:
        return ItemWrite(item, embedded.outcome.chunks[item.text], others=others)
    if isinstance(failure, errors.TEMPORARY_EMBEDDING_ERRORS) and not require_indexed:
        return ItemWrite(item, pending_reason=failure.message, others=others)
    return to_field_error(failure, "item.text")
