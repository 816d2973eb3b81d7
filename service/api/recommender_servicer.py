"""RecommenderService: each method parses its request, calls one use case and words the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.import_stream import run_import
from service.api.messages import item_updates, items, recommendations, users
from service.api.messages.usage import usage_message
from service.api.recommendation_batch import BatchRunner
from service.catalog.handle import CatalogHandle, CatalogSource
from service.catalog.items import PreparedItems
from service.catalog.users import PreparedUsers
from service.domain.recommendations import Query
from service.domain.usage import EmbeddingUsage
from service.recommend.query_preparation import PreparedQuery


class RecommenderServicer:
    """Serves akin.v1.RecommenderService; any method may raise AkinError."""

    def __init__(self, catalogs: CatalogSource, clock_ns: Callable[[], int]) -> None:
        self._catalogs = catalogs
        self._clock_ns = clock_ns
        self._batches = BatchRunner()

    async def UpsertItem(self, request: pb.UpsertItemRequest) -> pb.UpsertItemResponse:
        """Store an item."""
        upsert = items.parse_upsert_item(request, self._clock_ns)
        async with self._catalogs.use(request.catalog) as catalog:
            written = await catalog.items.upsert(upsert)
        return pb.UpsertItemResponse(
            item=items.item_message(written.stored),
            embedded=written.embedded,
            usage=usage_message(written.usage),
        )

    async def UpdateItem(self, request: pb.UpdateItemRequest) -> pb.UpdateItemResponse:
        """Change some fields of an item."""
        update = item_updates.parse_update_item(request, self._clock_ns)
        async with self._catalogs.use(request.catalog) as catalog:
            written = await catalog.items.update(update)
        return pb.UpdateItemResponse(
            item=items.item_message(written.stored),
            embedded=written.embedded,
            usage=usage_message(written.usage),
        )

    async def ImportItems(
        self, requests: AsyncIterator[pb.ImportItemsRequest]
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Store many items."""
        async for response in run_import(requests, self._prepare_items, self._store_items):
            yield response

    async def _prepare_items(
        self, request: pb.ImportItemsRequest
    ) -> tuple[pb.ImportItemsRequest, PreparedItems]:
        parsed = items.parse_import_items(request, self._clock_ns)
        async with self._catalogs.use(request.catalog) as catalog:
            if request.validate_only:
                return request, await catalog.items.estimate_import(parsed)
            prepared = await catalog.items.prepare_import(
                parsed, require_indexed=request.require_indexed
            )
        return request, prepared

    async def _store_items(
        self, work: tuple[pb.ImportItemsRequest, PreparedItems]
    ) -> pb.ImportItemsResponse:
        request, prepared = work
        async with self._catalogs.use(request.catalog) as catalog:
            outcomes = await catalog.items.store_import(prepared)
        results = (
            items.item_result(item.item_id, outcome)
            for item, outcome in zip(request.items, outcomes, strict=True)
        )
        return pb.ImportItemsResponse(results=results, usage=usage_message(prepared.usage))

    async def GetItem(self, request: pb.GetItemRequest) -> pb.GetItemResponse:
        """Return an item."""
        item_id = items.parse_get_item(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            stored = await catalog.items.get(item_id, with_vectors=request.include_vectors)
        return pb.GetItemResponse(item=items.item_message(stored))

    async def BatchGetItems(self, request: pb.BatchGetItemsRequest) -> pb.BatchGetItemsResponse:
        """Return many items."""
        item_ids = items.parse_batch_get_items(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            stored = await catalog.items.get_many(item_ids, with_vectors=request.include_vectors)
        return pb.BatchGetItemsResponse(
            items=(
                items.item_message(stored[item_id]) for item_id in item_ids if item_id in stored
            ),
            missing_item_ids=(item_id for item_id in item_ids if item_id not in stored),
        )

    async def ListItems(self, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
        """Return a page of items."""
        query = items.parse_list_items(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            page = await catalog.items.list_page(
                query.after, query.page_size, query.filter, with_vectors=request.include_vectors
            )
        return items.list_items_response(page.items, page.last_id, page.total, request)

    async def DeleteItem(self, request: pb.DeleteItemRequest) -> pb.DeleteItemResponse:
        """Delete an item."""
        item_id = items.parse_delete_item(request)
        async with self._catalogs.use(request.catalog) as catalog:
            sequence = await catalog.items.delete(item_id, allow_missing=request.allow_missing)
        return pb.DeleteItemResponse(sequence=sequence)

    async def BatchDeleteItems(
        self, request: pb.BatchDeleteItemsRequest
    ) -> pb.BatchDeleteItemsResponse:
        """Delete many items."""
        deletion = items.parse_batch_delete_items(request)
        async with self._catalogs.use(request.catalog) as catalog:
            deleted = await catalog.items.delete_many(deletion)
        return pb.BatchDeleteItemsResponse(
            deleted_count=deleted.deleted_count, sequence=deleted.sequence
        )

    async def UpsertUser(self, request: pb.UpsertUserRequest) -> pb.UpsertUserResponse:
        """Store a user."""
        upsert = users.parse_upsert_user(request)
        async with self._catalogs.use(request.catalog) as catalog:
            stored, usage = await catalog.users.upsert(upsert)
        return pb.UpsertUserResponse(user=users.user_message(stored), usage=usage_message(usage))

    async def UpdateUser(self, request: pb.UpdateUserRequest) -> pb.UpdateUserResponse:
        """Change some fields of a user."""
        update = users.parse_update_user(request)
        async with self._catalogs.use(request.catalog) as catalog:
            stored, usage = await catalog.users.update(update)
        return pb.UpdateUserResponse(user=users.user_message(stored), usage=usage_message(usage))

    async def ImportUsers(
        self, requests: AsyncIterator[pb.ImportUsersRequest]
    ) -> AsyncIterator[pb.ImportUsersResponse]:
        """Store many users."""
        async for response in run_import(requests, self._prepare_users, self._store_users):
            yield response

    async def _prepare_users(
        self, request: pb.ImportUsersRequest
    ) -> tuple[pb.ImportUsersRequest, PreparedUsers]:
        parsed = users.parse_import_users(request)
        async with self._catalogs.use(request.catalog) as catalog:
            if request.validate_only:
                return request, await catalog.users.estimate_import(parsed)
            return request, await catalog.users.prepare_import(parsed)

    async def _store_users(
        self, work: tuple[pb.ImportUsersRequest, PreparedUsers]
    ) -> pb.ImportUsersResponse:
        request, prepared = work
        async with self._catalogs.use(request.catalog) as catalog:
            outcomes = await catalog.users.store_import(prepared)
        results = (
            users.user_result(user.user_id, outcome)
            for user, outcome in zip(request.users, outcomes, strict=True)
        )
        return pb.ImportUsersResponse(results=results, usage=usage_message(prepared.usage))

    async def GetUser(self, request: pb.GetUserRequest) -> pb.GetUserResponse:
        """Return a user."""
        user_id = users.parse_get_user(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            stored = await catalog.users.get(user_id)
        return pb.GetUserResponse(user=users.user_message(stored))

    async def ListUsers(self, request: pb.ListUsersRequest) -> pb.ListUsersResponse:
        """Return a page of users."""
        query = users.parse_list_users(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            page = await catalog.users.list_page(query.after, query.page_size)
        return users.list_users_response(page.users, page.last_id, page.total, request)

    async def DeleteUser(self, request: pb.DeleteUserRequest) -> pb.DeleteUserResponse:
        """Delete a user."""
        user_id = users.parse_delete_user(request)
        async with self._catalogs.use(request.catalog) as catalog:
            sequence = await catalog.users.delete(user_id, allow_missing=request.allow_missing)
        return pb.DeleteUserResponse(sequence=sequence)

    async def RecommendSimilar(
        self, request: pb.RecommendSimilarRequest
    ) -> pb.RecommendSimilarResponse:
        """Recommend items."""
        query = recommendations.parse_recommend_similar(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            answer = await catalog.recommender.recommend(query)
            recommendation_id = catalog.attribution.identify(query, answer)
        return recommendations.recommend_similar_response(answer, recommendation_id)

    async def BatchRecommend(self, request: pb.BatchRecommendRequest) -> pb.BatchRecommendResponse:
        """Answer many queries for recommendations."""
        entries: list[Query | errors.AkinError] = []
        min_sequence = last_position = 0
        for position in range(recommendations.count_queries(request)):
            entry = recommendations.parse_batch_query(request, position)
            query_sequence = request.queries[position].min_sequence
            if isinstance(entry, Query) and query_sequence > min_sequence:
                min_sequence, last_position = query_sequence, position
            entries.append(entry)
            await asyncio.sleep(0)  # a query may exclude thousands of items
        field = f"queries[{last_position}].min_sequence"
        async with self._catalogs.use(request.catalog, min_sequence, field) as catalog:
            results, usage = await self._answer_batch(catalog, entries)
        response = pb.BatchRecommendResponse(results=results)
        if usage.text_count:
            response.usage.CopyFrom(usage_message(usage))
        return response

    async def _answer_batch(
        self, catalog: CatalogHandle, entries: Sequence[Query | errors.AkinError]
    ) -> tuple[list[pb.QueryResult], EmbeddingUsage]:
        async def answer(prepared: PreparedQuery) -> pb.RecommendSimilarResponse:
            answered = await catalog.recommender.answer(prepared)
            recommendation_id = catalog.attribution.identify(prepared.query, answered)
            return recommendations.recommend_similar_response(answered, recommendation_id)

        queries = [entry for entry in entries if isinstance(entry, Query)]
        prepared, usage = await catalog.recommender.prepare_many(queries)
        outcomes = iter(prepared)
        return await self._batches.run(
            [next(outcomes) if isinstance(entry, Query) else entry for entry in entries], answer
        ), usage
