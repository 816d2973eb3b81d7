"""Calls that store many items or users in one stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar, Unpack

from akin import _requests
from akin._async.connection import Connection
from akin.options import ImportItemsOptions, ImportUsersOptions
from akin.v1 import item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb

Result_co = TypeVar("Result_co", covariant=True)


class ImportCalls(Connection):
    """Calls that import items and users. An import has no deadline and is not retried.

    An exception from the caller's iterable ends the import. It is raised after the results of the
    batches that were sent before.
    """

    def import_items(
        self, items: Iterable[item_pb2.Item], **options: Unpack[ImportItemsOptions]
    ) -> AsyncIterator[item_pb2.ItemResult]:
        """Store many items, and yield one result for each, in order.

        Results arrive while the items are still being read.

        Args:
            items: the items (see `akin.item`).
            **options: see `akin.options.ImportItemsOptions`.
        """
        return _results(self.import_item_batches(items, **options))

    def import_item_batches(
        self, items: Iterable[item_pb2.Item], **options: Unpack[ImportItemsOptions]
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Store many items, and yield the results and the embedding usage of each batch.

        Args:
            items: the items (see `akin.item`).
            **options: see `akin.options.ImportItemsOptions`.
        """
        _requests.check_options(ImportItemsOptions, options)

        def make_request(group: list[item_pb2.Item]) -> pb.ImportItemsRequest:
            return pb.ImportItemsRequest(catalog=self._catalog, items=group, **options)

        return self._channel.exchange(self._recommender.ImportItems, items, make_request)

    def import_users(
        self, users: Iterable[user_pb2.User], **options: Unpack[ImportUsersOptions]
    ) -> AsyncIterator[user_pb2.UserResult]:
        """Store many users, and yield one result for each, in order.

        Results arrive while the users are still being read.

        Args:
            users: the users (see `akin.user`).
            **options: see `akin.options.ImportUsersOptions`.
        """
        return _results(self.import_user_batches(users, **options))

    def import_user_batches(
        self, users: Iterable[user_pb2.User], **options: Unpack[ImportUsersOptions]
    ) -> AsyncIterator[pb.ImportUsersResponse]:
        """Store many users, and yield the results and the embedding usage of each batch.

        Args:
            users: the users (see `akin.user`).
            **options: see `akin.options.ImportUsersOptions`.
        """
        _requests.check_options(ImportUsersOptions, options)

        def make_request(group: list[user_pb2.User]) -> pb.ImportUsersRequest:
            return pb.ImportUsersRequest(catalog=self._catalog, users=group, **options)

        return self._channel.exchange(self._recommender.ImportUsers, users, make_request)


class _Batch(Protocol[Result_co]):
    @property
    def results(self) -> Iterable[Result_co]: ...


async def _results(batches: AsyncIterator[_Batch[Result_co]]) -> AsyncIterator[Result_co]:
    async for batch in batches:
        for result in batch.results:
            yield result
