"""Calls for single items and for lists of items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from akin import _policy, _requests
from akin._async.connection import Connection
from akin.options import (
    BatchDeleteItemsOptions,
    DeleteOptions,
    GetItemOptions,
    ListItemsOptions,
    UpdateItemOptions,
    UpsertItemOptions,
)
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb


class ItemCalls(Connection):
    """Calls that store, change, return, list and delete items."""

    async def upsert_item(
        self,
        item_id: str,
        text: str,
        attributes: Mapping[str, Any] | None = None,
        **options: Unpack[UpsertItemOptions],
    ) -> pb.UpsertItemResponse:
        """Store an item, and replace the one with the same id.

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

    async def update_item(
        self, item_id: str, **options: Unpack[UpdateItemOptions]
    ) -> pb.UpdateItemResponse:
        """Change some fields of an item, and keep the others.

            client.update_item("sku-1", text="Running shoes", expire_time=None)
            client.update_item(
                "sku-1", attributes={"price": 79}, update_mask=["attributes.price"]
            )

        The first call changes the two fields that are given. The second one changes one attribute.

        Args:
            item_id: your id of the item.
            **options: the new values; see `akin.options.UpdateItemOptions`.

        Raises:
            ValueError: an attribute is not a JSON value, `expire_time` has no time zone, or
                `update_mask` is a single string.
        """
        request = _requests.update_item(self._catalog, item_id, **options)
        return await self._channel.call(self._recommender.UpdateItem, request)

    async def get_item(self, item_id: str, **options: Unpack[GetItemOptions]) -> item_pb2.Item:
        """Return an item.

        Args:
            item_id: your id of the item.
            **options: see `akin.options.GetItemOptions`.
        """
        request = _requests.build(
            pb.GetItemRequest, GetItemOptions, options, catalog=self._catalog, item_id=item_id
        )
        response = await self._channel.call(self._recommender.GetItem, request)
        return response.item

    async def batch_get_items(
        self, item_ids: Iterable[str], **options: Unpack[GetItemOptions]
    ) -> pb.BatchGetItemsResponse:
        """Return the items with these ids, and the ids that have no item.

        Args:
            item_ids: ids of the items, up to 1,000.
            **options: see `akin.options.GetItemOptions`.

        Raises:
            ValueError: `item_ids` is a single string.
        """
        _requests.check_list("item_ids", item_ids)
        request = _requests.build(
            pb.BatchGetItemsRequest,
            GetItemOptions,
            options,
            catalog=self._catalog,
            item_ids=item_ids,
        )
        return await self._channel.call(self._recommender.BatchGetItems, request)

    async def list_items(
        self, page_size: int = 0, page_token: str = "", **options: Unpack[ListItemsOptions]
    ) -> pb.ListItemsResponse:
        """Return one page of items, by ascending id.

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

    async def delete_item(self, item_id: str, **options: Unpack[DeleteOptions]) -> int:
        """Delete an item.

        Args:
            item_id: your id of the item.
            **options: see `akin.options.DeleteOptions`.

        Returns:
            The sequence number of the deletion; 0 if the item did not exist.
        """
        request = _requests.build(
            pb.DeleteItemRequest, DeleteOptions, options, catalog=self._catalog, item_id=item_id
        )
        response = await self._channel.call(self._recommender.DeleteItem, request)
        return response.sequence

    async def batch_delete_items(
        self,
        item_ids: Iterable[str] | None = None,
        **options: Unpack[BatchDeleteItemsOptions],
    ) -> pb.BatchDeleteItemsResponse:
        """Delete the items with these ids, or those that match a filter.

        A call with `where` has a deadline of its own, because it can delete a whole catalog. If it
        fails, some items can be deleted; call it again to delete the rest.

        Args:
            item_ids: ids of the items, up to 1,000; ids that have no item are ignored.
            **options: see `akin.options.BatchDeleteItemsOptions`.

        Raises:
            ValueError: not exactly one of `item_ids` and `where` is given, or `item_ids` is a
                single string.
        """
        default = None if options.get("where") is None else _policy.CATALOG_TIMEOUT_SECONDS
        timeout_seconds = options.pop("timeout_seconds", default)
        request = _requests.batch_delete_items(self._catalog, item_ids, **options)
        return await self._channel.call(
            self._recommender.BatchDeleteItems, request, timeout_seconds
        )
