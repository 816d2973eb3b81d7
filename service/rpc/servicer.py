"""RecommenderService: each method words one use case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from akin.v1 import catalog_service_pb2, item_pb2
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.catalogue import Catalogue, Prepared
from service.domain import limits
from service.domain.checks import catalog_violations
from service.domain.values import DEFAULT_CATALOG, Item
from service.recommender import Recommender
from service.rpc import convert

IMPORT_AHEAD = 2
"""Messages of one import that may be embedded while an earlier one is stored."""


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The use cases of one catalog."""

    catalogue: Catalogue
    recommender: Recommender


def named(catalogs: Mapping[str, CatalogServices], name: str) -> CatalogServices:
    """The use cases of the catalog of this name, empty meaning the default one.

    Raises:
        InvalidRequest: it is no name of a catalog.
        CatalogNotFound: there is none.
    """
    name = name or DEFAULT_CATALOG
    errors.require(catalog_violations(name))
    services = catalogs.get(name)
    if services is None:
        raise errors.CatalogNotFound("there is no such catalog")
    return services


class CatalogServicer:
    """Answers the calls of akin.v1.CatalogService; any method may raise AkinError."""

    def __init__(self, catalogs: Mapping[str, CatalogServices]) -> None:
        self._catalogs = catalogs

    async def GetCatalog(
        self, request: catalog_service_pb2.GetCatalogRequest
    ) -> catalog_service_pb2.GetCatalogResponse:
        """Returns a catalog's figures."""
        figures = await named(self._catalogs, request.catalog).catalogue.figures()
        return catalog_service_pb2.GetCatalogResponse(catalog=convert.catalog_message(figures))


class RecommenderServicer:
    """Answers the calls of akin.v1.RecommenderService; any method may raise AkinError."""

    def __init__(self, catalogs: Mapping[str, CatalogServices]) -> None:
        self._catalogs = catalogs

    async def UpsertItem(self, request: pb.UpsertItemRequest) -> pb.UpsertItemResponse:
        """Stores one item."""
        expected = request.expected_sequence if request.HasField("expected_sequence") else None
        upserted = await self._catalog(request.catalog).catalogue.upsert_item(
            convert.item(request.item),
            require_indexed=request.require_indexed,
            expected_sequence=expected,
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
        ahead: asyncio.Queue[asyncio.Task[_Import | pb.ImportItemsResponse] | None] = asyncio.Queue(
            IMPORT_AHEAD
        )

        async def read() -> None:
            try:
                async for request in requests:
                    await ahead.put(asyncio.create_task(self._prepare(request)))
            finally:
                await ahead.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await ahead.get()) is not None:
                yield await self._finish(await task)
            await reader
        finally:
            reader.cancel()
            while not ahead.empty():
                if (left := ahead.get_nowait()) is not None:
                    left.cancel()

    async def GetItem(self, request: pb.GetItemRequest) -> pb.GetItemResponse:
        """Returns one item."""
        stored = await self._catalog(request.catalog).catalogue.get_item(request.item_id)
        return pb.GetItemResponse(item=convert.item_message(stored))

    async def DeleteItem(self, request: pb.DeleteItemRequest) -> pb.DeleteItemResponse:
        """Deletes one item."""
        sequence = await self._catalog(request.catalog).catalogue.delete_item(
            request.item_id, allow_missing=request.allow_missing
        )
        return pb.DeleteItemResponse(sequence=sequence)

    async def ListItems(self, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
        """Lists items, a page at a time."""
        page = await self._catalog(request.catalog).catalogue.list_items(
            convert.last_id(request.page_token), request.page_size or limits.PAGE_ITEMS_DEFAULT
        )
        return pb.ListItemsResponse(
            items=map(convert.item_message, page.items),
            next_page_token=convert.page_token(page.last_id),
            total_size=page.total,
        )

    async def UpsertUser(self, request: pb.UpsertUserRequest) -> pb.UpsertUserResponse:
        """Stores one user."""
        stored, usage = await self._catalog(request.catalog).catalogue.upsert_user(
            convert.user(request.user)
        )
        return pb.UpsertUserResponse(
            user=convert.user_message(stored), usage=convert.usage_message(usage)
        )

    async def GetUser(self, request: pb.GetUserRequest) -> pb.GetUserResponse:
        """Returns one user."""
        stored = await self._catalog(request.catalog).catalogue.get_user(request.user_id)
        return pb.GetUserResponse(user=convert.user_message(stored))

    async def DeleteUser(self, request: pb.DeleteUserRequest) -> pb.DeleteUserResponse:
        """Deletes one user."""
        await self._catalog(request.catalog).catalogue.delete_user(request.user_id)
        return pb.DeleteUserResponse()

    async def RecommendSimilar(
        self, request: pb.RecommendSimilarRequest
    ) -> pb.RecommendSimilarResponse:
        """Recommends items."""
        recommender = self._catalog(request.catalog).recommender
        return convert.answer_message(await recommender.recommend(convert.query(request)))

    def _catalog(self, name: str) -> CatalogServices:
        return named(self._catalogs, name)

    async def _prepare(self, request: pb.ImportItemsRequest) -> _Import | pb.ImportItemsResponse:
        catalogue = self._catalog(request.catalog).catalogue
        ids = [message.item_id for message in request.items]
        items = [_item_or_error(message) for message in request.items]
        if request.validate_only:
            found, usage = await catalogue.estimate(items)
            results = [convert.item_result(*each) for each in zip(ids, found, strict=True)]
            usage_message = convert.usage_message(usage)
            return pb.ImportItemsResponse(results=results, usage=usage_message)
        prepared = await catalogue.prepare(items, require_indexed=request.require_indexed)
        return _Import(catalogue, ids, prepared)

    async def _finish(self, work: _Import | pb.ImportItemsResponse) -> pb.ImportItemsResponse:
        if isinstance(work, pb.ImportItemsResponse):
            return work
        outcomes = await work.catalogue.store(work.prepared)
        return pb.ImportItemsResponse(
            results=map(convert.item_result, work.item_ids, outcomes),
            usage=convert.usage_message(work.prepared.usage),
        )


@dataclass(frozen=True, slots=True)
class _Import:
    """One message of an import, ready to be stored."""

    catalogue: Catalogue
    item_ids: list[str]
    prepared: Prepared


def _item_or_error(message: item_pb2.Item) -> Item | errors.InvalidRequest:
    try:
        return convert.item(message)
    except errors.InvalidRequest as exc:
        return exc
