"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from akin import _policy, _requests
from akin._errors import decode
from akin._policy import Tls
from akin.v1 import catalog_service_pb2, catalog_service_pb2_grpc, filter_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class AsyncClient:
    """A connection to an Akin server, for one event loop.

    Every call may raise AkinError. `timeout_seconds` is a call's deadline, retries included.
    `catalog` names the catalog of every call; empty means the server's default one. `tls` is how to
    speak TLS; without it the connection is plain. An `api_key` is sent with every call; without
    TLS that works on this machine only.
    """

    def __init__(
        self,
        address: str,
        *,
        catalog: str = "",
        timeout_seconds: float = _policy.TIMEOUT_SECONDS,
        api_key: str = "",
        tls: Tls | None = None,
    ) -> None:
        secured, options = _policy.credentials(api_key, tls), _policy.CHANNEL_OPTIONS
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if secured is None
            else grpc.aio.secure_channel(address, secured, options)
        )
        self._stub = pb_grpc.RecommenderServiceStub(self._channel)
        self._catalogs = catalog_service_pb2_grpc.CatalogServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._catalog = catalog
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and with it the calls under way."""
        await self._channel.close()

    async def upsert_item(
        self,
        item_id: str,
        text: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        expire_time: datetime | None = None,
        require_indexed: bool = False,
        expected_sequence: int | None = None,
    ) -> pb.UpsertItemResponse:
        """Stores an item, replacing the one with the same id.

        Args:
            item_id: your name for it.
            text: what it is about.
            attributes: facts that come back with it; values as in JSON.
            expire_time: when it ceases to be recommended; needs a time zone.
            require_indexed: fail rather than store it as pending when it cannot be embedded now.
            expected_sequence: store only if the item is at this sequence; 0: only if it is new.
        """
        request = pb.UpsertItemRequest(
            catalog=self._catalog,
            item=_requests.item(item_id, text, attributes, expire_time),
            require_indexed=require_indexed,
            expected_sequence=expected_sequence,
        )
        return await self._call(self._stub.UpsertItem, request)

    async def import_items(
        self, items: Iterable[item_pb2.Item], *, require_indexed: bool = False
    ) -> AsyncIterator[item_pb2.ItemResult]:
        """Stores many items (see `akin.item`), one result for each, in order.

        Results arrive while items are still being read; there is no deadline.
        """
        async for response in self.import_batches(items, require_indexed=require_indexed):
            for result in response.results:
                yield result

    async def import_batches(
        self,
        items: Iterable[item_pb2.Item],
        *,
        require_indexed: bool = False,
        validate_only: bool = False,
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Stores many items, a batch at a time, and tells what embedding each batch took.

        With `validate_only` it stores nothing, and tells about what embedding would take.
        """
        messages = _requests.import_messages(
            items, self._catalog, require_indexed=require_indexed, validate_only=validate_only
        )
        try:
            async for response in self._stub.ImportItems(messages):
                yield response
        except grpc.aio.AioRpcError as exc:
            raise decode(exc) from exc

    async def get_item(self, item_id: str) -> item_pb2.Item:
        """One item."""
        request = pb.GetItemRequest(catalog=self._catalog, item_id=item_id)
        return (await self._call(self._stub.GetItem, request)).item

    async def delete_item(self, item_id: str, *, allow_missing: bool = False) -> int:
        """Deletes an item; returns the delete's sequence, 0 if there was nothing to delete."""
        request = pb.DeleteItemRequest(
            catalog=self._catalog, item_id=item_id, allow_missing=allow_missing
        )
        return (await self._call(self._stub.DeleteItem, request)).sequence

    async def list_items(
        self,
        page_size: int = 0,
        page_token: str = "",
        *,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
    ) -> pb.ListItemsResponse:
        """One page of items by ascending id; give its next_page_token to get the next.

        With `where` (see `akin.filters`) only items that pass.
        """
        request = pb.ListItemsRequest(
            catalog=self._catalog,
            page_size=page_size,
            page_token=page_token,
            filter=_requests.filter_(where),
        )
        return await self._call(self._stub.ListItems, request)

    async def upsert_user(
        self,
        user_id: str,
        preferences: Iterable[str | user_pb2.Preference] = (),
        liked_items: Iterable[str | user_pb2.LikedItem] = (),
    ) -> pb.UpsertUserResponse:
        """Stores a user, replacing the one with the same id.

        Args:
            user_id: your name for them.
            preferences: tastes in words; a plain string has weight 1.
            liked_items: ids of items they liked, oldest first; a plain string has weight 1.
        """
        request = _requests.upsert_user(user_id, preferences, liked_items, self._catalog)
        return await self._call(self._stub.UpsertUser, request)

    async def get_user(self, user_id: str) -> user_pb2.User:
        """One user."""
        request = pb.GetUserRequest(catalog=self._catalog, user_id=user_id)
        return (await self._call(self._stub.GetUser, request)).user

    async def delete_user(self, user_id: str) -> None:
        """Deletes a user."""
        request = pb.DeleteUserRequest(catalog=self._catalog, user_id=user_id)
        await self._call(self._stub.DeleteUser, request)

    async def recommend_similar(  # noqa: PLR0913  (the call has so many parameters)
        self,
        *,
        item_id: str | None = None,
        user_id: str | None = None,
        text: str | None = None,
        examples: pb.Examples | None = None,
        limit: int = 0,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        exclude_item_ids: Sequence[str] = (),
        min_score: float | None = None,
        diversity: float = 0.0,
        max_similarity: float | None = None,
        full: bool = False,
        min_sequence: int = 0,
        exact: bool = False,
        explain: bool = False,
    ) -> pb.RecommendSimilarResponse:
        """The items most similar to one source, best first.

        Args:
            item_id: the source: an item of the catalog,
            user_id: or a user's tastes,
            text: or any text,
            examples: or what to be like and unlike (see `akin.examples`).
            limit: the most recommendations wanted; 0 means 10.
            where: return only items that pass (see `akin.filters`).
            exclude_item_ids: items that must not come back.
            min_score: the least score that may come back.
            diversity: how much the items shall differ from each other, between 0 and 1.
            max_similarity: leave out repetitions of a better item that are this similar to it.
            full: whether to return whole items, not just ids and scores.
            min_sequence: wait for this write, the sequence of an earlier reply, first.
            exact: score every item for a user or examples, not just those nearest to each taste.
            explain: tell for each item what it is recommended for.

        Raises:
            ValueError: not exactly one source is given.
        """
        request = _requests.recommend_similar(
            item_id=item_id,
            user_id=user_id,
            text=text,
            examples=examples,
            limit=limit,
            where=where,
            exclude_item_ids=exclude_item_ids,
            min_score=min_score,
            diversity=diversity,
            max_similarity=max_similarity,
            full=full,
            min_sequence=min_sequence,
            exact=exact,
            explain=explain,
            catalog=self._catalog,
        )
        return await self._call(self._stub.RecommendSimilar, request)

    async def get_catalog(self) -> catalog_service_pb2.Catalog:
        """The catalog's figures: items, those that wait and why, what embedding took."""
        request = catalog_service_pb2.GetCatalogRequest(catalog=self._catalog)
        response = await self._call(self._catalogs.GetCatalog, request)
        return response.catalog

    async def is_serving(self) -> bool:
        """Whether the server says that it is healthy and ready."""
        check = self._health.Check  # type: ignore[attr-defined]  # its published hints lack it
        response: health_pb2.HealthCheckResponse = await self._call(
            check, health_pb2.HealthCheckRequest()
        )
        return response.status == health_pb2.HealthCheckResponse.SERVING

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        try:
            return await method(request, timeout=self._timeout_seconds)
        except grpc.aio.AioRpcError as exc:
            raise decode(exc) from exc
