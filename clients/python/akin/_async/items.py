"""Calls for single items and for lists of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from akin import _requests
from akin._async.connection import Connection
from akin.options import DeleteOptions, ListItemsOptions, UpsertItemOptions
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb


class ItemCalls(Connection):
    """Stores, returns, lists and deletes items."""

    async def upsert_item(
        self,
        item_id: str,
        text: str,
        attributes: Mapping[str, Any] | None = None,
        **options: Unpack[UpsertItemOptions],
    ) -> pb.UpsertItemResponse:
        """Stores an item and replaces the one with the same id.

        Args:
            item_id: your id of the item.
            text: text that describes the item.
            attributes: JSON values to store with the item and to filter by.
            **options: see `akin.options.UpsertItemOptions`.

        Raises:
            ValueError: an attribute is not a JSON value, or `expire_time` has no time zone.
        """
        request = _requests.upsert_item(self._catalog, item_id, text, attributes, **options)
        return await self._channel.call(self._recommender.UpsertItem, request)

    async def get_item(self, item_id: str) -> item_pb2.Item:
        """Returns an item."""
        request = pb.GetItemRequest(catalog=self._catalog, item_id=item_id)
        response = await self._channel.call(self._recommender.GetItem, request)
        return response.item

    async def delete_item(self, item_id: str, **options: Unpack[DeleteOptions]) -> int:
        """Deletes an item.

        Args:
            item_id: your id of the item.
            **options: see `akin.options.DeleteOptions`.

        Returns:
            The sequence of the write; 0 if there was no such item.
        """
        request = _requests.build(
            pb.DeleteItemRequest, DeleteOptions, options, catalog=self._catalog, item_id=item_id
        )
        response = await self._channel.call(self._recommender.DeleteItem, request)
        return response.sequence

    async def list_items(
        self, page_size: int = 0, page_token: str = "", **options: Unpack[ListItemsOptions]
    ) -> pb.ListItemsResponse:
        """Returns one page of items, in ascending order of id.

        Args:
            page_size: maximum number of items, up to 1,000; 0 means 100.
            page_token: `next_page_token` of the previous page; empty for the first page.
            **options: see `akin.options.ListItemsOptions`.
        """
        request = _requests.build(
            pb.ListItemsRequest,
            ListItemsOptions,
            options,
            catalog=self._catalog,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._channel.call(self._recommender.ListItems, request)
