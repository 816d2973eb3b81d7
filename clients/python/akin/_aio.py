"""The client for asyncio: its connection, and the calls for items, users and recommendations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import grpc

from akin import _requests
from akin._aio_analyses import AsyncAnalysisCalls
from akin._aio_catalogs import AsyncCatalogCalls
from akin._errors import decode
from akin.v1 import filter_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb


class AsyncClient(AsyncCatalogCalls, AsyncAnalysisCalls):
    """A connection to an Akin server, for one event loop.

    Every call may raise AkinError. `timeout_seconds` is a call's deadline, retries included.
    `catalog` names the catalog of every call; empty means the server's default one. `tls` is how to
    speak TLS; without it the connection is plain. An `api_key` is sent with every call; without
    TLS that works on this machine only.
    """

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
        made = _requests.import_messages(
            items, self._catalog, require_indexed=require_indexed, validate_only=validate_only
        )
        messages = _requests.Remembering(made)
        try:
            async for response in self._stub.ImportItems(messages):
                yield response
        except grpc.aio.AioRpcError as exc:
            raise messages.failure or decode(exc) from exc
        except asyncio.CancelledError:
            # So gRPC ends a call whose messages cannot be made.
            if messages.failure is None:
                raise
            raise messages.failure from None

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
