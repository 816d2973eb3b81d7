"""RecommenderService: each method words one use case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.messages import convert
from service.api.messages.filters import filter_
from service.catalog.admin import Directory
from service.catalog.items import CatalogItems, Prepared
from service.catalog.open_catalogs import Catalogs, CatalogServices, OpenCatalog
from service.catalog.reembedding import Reembeddings
from service.domain import limits
from service.domain.generations import DEFAULT_CATALOG
from service.domain.items import Item
from service.domain.validation import catalog_violations

IMPORT_AHEAD = 2
"""Messages of one import that may be embedded while an earlier one is stored."""

IMPORTS_AT_ONCE = 4
"""Messages of all imports that are embedded at once: well below what the embedder's queue takes, so
that imports wait for each other instead of being refused."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases that calls come down to."""

    catalogs: Catalogs
    directory: Directory
    reembeddings: Reembeddings

    async def catalog(self, name: str, found: convert.Violations) -> OpenCatalog:
        """The catalog of this name, empty meaning the default one.

        What is no name of a catalog is added to `found`, for the use case to refuse.

        Raises:
            CatalogNotFound: there is none.
        """
        catalog = await self.catalogs.named(name)
        if catalog is not None:
            return catalog
        wrong = list(catalog_violations(name))
        if not wrong:
            raise errors.CatalogNotFound("there is no such catalog")
        found += wrong
        default = await self.catalogs.named(DEFAULT_CATALOG)
        assert default is not None  # noqa: S101  (it is never deleted)
        return default

    async def of(self, name: str, found: convert.Violations) -> CatalogServices:
        """The use cases of the catalog of this name; see `catalog`."""
        return (await self.catalog(name, found)).services


class RecommenderServicer:
    """Answers the calls of akin.v1.RecommenderService; any method may raise AkinError."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._importing = asyncio.Semaphore(IMPORTS_AT_ONCE)

    async def UpsertItem(self, request: pb.UpsertItemRequest) -> pb.UpsertItemResponse:
        """Stores one item."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        upserted = await catalog_items.upsert_item(
            convert.item(request.item, found),
            require_indexed=request.require_indexed,
            expected_sequence=request.expected_sequence
            if request.HasField("expected_sequence")
            else None,
            found=found,
        )
        return pb.UpsertItemResponse(
            item=convert.item_message(upserted.stored),
            embedded=upserted.embedded,
            usage=convert.usage_message(upserted.usage),
        )

    async def ImportItems(
        self, requests: AsyncIterator[pb.ImportItemsRequest]
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Stores many items; later messages are embedded while earlier ones are stored."""
        ahead: asyncio.Queue[asyncio.Task[_Done] | None] = asyncio.Queue(IMPORT_AHEAD)
        tasks: set[asyncio.Task[Any]] = set()

        def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
            task = asyncio.create_task(work)
            tasks.add(task)
            return task

        async def read() -> None:
            try:
                async for request in requests:
                    await ahead.put(start(self._prepare(request)))
            finally:
                await ahead.put(None)

        reader = start(read())
        try:
            while (task := await ahead.get()) is not None:
                yield await self._finish(await task)
                tasks.discard(task)
            await reader
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def GetItem(self, request: pb.GetItemRequest) -> pb.GetItemResponse:
        """Returns one item."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        stored = await catalog_items.get_item(request.item_id, found)
        return pb.GetItemResponse(item=convert.item_message(stored))

    async def DeleteItem(self, request: pb.DeleteItemRequest) -> pb.DeleteItemResponse:
        """Deletes one item."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        sequence = await catalog_items.delete_item(
            request.item_id, allow_missing=request.allow_missing, found=found
        )
        return pb.DeleteItemResponse(sequence=sequence)

    async def ListItems(self, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
        """Lists items, a page at a time."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        after = convert.last_id(request, found)
        page_size = request.page_size or limits.PAGE_ITEMS_DEFAULT
        wanted = filter_(request.filter) if request.HasField("filter") else None
        page = await catalog_items.list_items(after, page_size, wanted, found)
        return pb.ListItemsResponse(
            items=map(convert.item_message, page.items),
            next_page_token=convert.page_token(page.last_id, request),
            total_size=page.total,
        )

    async def UpsertUser(self, request: pb.UpsertUserRequest) -> pb.UpsertUserResponse:
        """Stores one user."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        stored, usage = await catalog_items.upsert_user(convert.user(request.user), found)
        return pb.UpsertUserResponse(
            user=convert.user_message(stored), usage=convert.usage_message(usage)
        )

    async def GetUser(self, request: pb.GetUserRequest) -> pb.GetUserResponse:
        """Returns one user."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        stored = await catalog_items.get_user(request.user_id, found)
        return pb.GetUserResponse(user=convert.user_message(stored))

    async def DeleteUser(self, request: pb.DeleteUserRequest) -> pb.DeleteUserResponse:
        """Deletes one user."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        await catalog_items.delete_user(request.user_id, found)
        return pb.DeleteUserResponse()

    async def RecommendSimilar(
        self, request: pb.RecommendSimilarRequest
    ) -> pb.RecommendSimilarResponse:
        """Recommends items."""
        found: convert.Violations = []
        recommender = (await self._services.of(request.catalog, found)).recommender
        return convert.answer_message(await recommender.recommend(convert.query(request), found))

    async def _prepare(self, request: pb.ImportItemsRequest) -> _Import | pb.ImportItemsResponse:
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        errors.raise_if_invalid(found)
        messages = request.items[: limits.IMPORT_ITEMS + 1]
        ids = [message.item_id for message in messages]
        items = [_item_or_error(message) for message in messages]
        if request.validate_only:
            outcomes, usage = await catalog_items.estimate(items)
            results = [convert.item_result(*each) for each in zip(ids, outcomes, strict=True)]
            usage_message = convert.usage_message(usage)
            return pb.ImportItemsResponse(results=results, usage=usage_message)
        async with self._importing:
            prepared = await catalog_items.prepare(items, require_indexed=request.require_indexed)
        return _Import(catalog_items, ids, prepared)

    async def _finish(self, work: _Done) -> pb.ImportItemsResponse:
        if isinstance(work, pb.ImportItemsResponse):
            return work
        outcomes = await work.catalog_items.store(work.prepared)
        return pb.ImportItemsResponse(
            results=map(convert.item_result, work.item_ids, outcomes),
            usage=convert.usage_message(work.prepared.usage),
        )


@dataclass(frozen=True, slots=True)
class _Import:
    """One message of an import, ready to be stored."""

    catalog_items: CatalogItems
    item_ids: list[str]
    prepared: Prepared


_Done = _Import | pb.ImportItemsResponse
"""A message that is ready to be stored, or answered already."""


def _item_or_error(message: item_pb2.Item) -> Item | errors.InvalidRequest:
    found: convert.Violations = []
    item = convert.item(message, found)
    return errors.InvalidRequest(found) if found else item
