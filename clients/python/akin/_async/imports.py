"""Calls that store many items in one stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Unpack

from akin import _requests
from akin._async.connection import Connection
from akin._imports import split
from akin.options import ImportItemsOptions
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb


class ImportCalls(Connection):
    """Imports items. An import has no deadline and is not retried.

    An exception from the caller's iterable ends the import and reaches the caller.
    """

    def import_items(
        self, items: Iterable[item_pb2.Item], **options: Unpack[ImportItemsOptions]
    ) -> AsyncIterator[item_pb2.ItemResult]:
        """Stores many items and yields one result for each, in order.

        Results arrive while the items are still being read.

        Args:
            items: the items (see `akin.item`).
            **options: see `akin.options.ImportItemsOptions`.
        """
        return _results(self.import_batches(items, **options))

    def import_batches(
        self, items: Iterable[item_pb2.Item], **options: Unpack[ImportItemsOptions]
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Stores many items and yields the results and the embedding usage of each batch.

        Args:
            items: the items (see `akin.item`).
            **options: see `akin.options.ImportItemsOptions`.
        """
        _requests.check_options(ImportItemsOptions, options)
        requests = (
            pb.ImportItemsRequest(catalog=self._catalog, items=group, **options)
            for group in split(items)
        )
        return self._channel.exchange(self._recommender.ImportItems, requests)


async def _results(
    responses: AsyncIterator[pb.ImportItemsResponse],
) -> AsyncIterator[item_pb2.ItemResult]:
    async for response in responses:
        for result in response.results:
            yield result
