"""Calls for single users and for lists of users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from akin import _requests
from akin._async.connection import Connection
from akin.options import DeleteOptions, ReadOptions, UpdateUserOptions, UpsertUserOptions
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import user_pb2


class UserCalls(Connection):
    """Calls that store, change, return, list and delete users."""

    async def upsert_user(
        self,
        user_id: str,
        preferences: Iterable[str | user_pb2.Preference] = (),
        liked_items: Iterable[str | user_pb2.LikedItem] = (),
        **options: Unpack[UpsertUserOptions],
    ) -> pb.UpsertUserResponse:
        """Store a user, and replace the one with the same id.

        Args:
            user_id: your id of the user.
            preferences: texts that describe what the user likes; a plain string has weight 1.
            liked_items: ids of items that the user liked, oldest first; a plain string has
                weight 1.
            **options: see `akin.options.UpsertUserOptions`.

        Raises:
            ValueError: `preferences` or `liked_items` is a single string.
        """
        request = _requests.build(
            pb.UpsertUserRequest,
            UpsertUserOptions,
            options,
            catalog=self._catalog,
            user=_requests.user(user_id, preferences, liked_items),
        )
        return await self._channel.call(self._recommender.UpsertUser, request)

    async def update_user(
        self, user_id: str, **options: Unpack[UpdateUserOptions]
    ) -> pb.UpdateUserResponse:
        """Change some fields of a user, and keep the others.

        Args:
            user_id: your id of the user.
            **options: the new values; see `akin.options.UpdateUserOptions`.

        Raises:
            ValueError: `preferences`, `liked_items` or `update_mask` is a single string.
        """
        request = _requests.update_user(self._catalog, user_id, **options)
        return await self._channel.call(self._recommender.UpdateUser, request)

    async def get_user(self, user_id: str, **options: Unpack[ReadOptions]) -> user_pb2.User:
        """Return a user.

        Args:
            user_id: your id of the user.
            **options: see `akin.options.ReadOptions`.
        """
        request = _requests.build(
            pb.GetUserRequest, ReadOptions, options, catalog=self._catalog, user_id=user_id
        )
        response = await self._channel.call(self._recommender.GetUser, request)
        return response.user

    async def list_users(
        self, page_size: int = 0, page_token: str = "", **options: Unpack[ReadOptions]
    ) -> pb.ListUsersResponse:
        """Return one page of users, by ascending id.

        Args:
            page_size: maximum number of users, up to 1,000; 0 means 100.
            page_token: `next_page_token` of the previous page; empty for the first page.
            **options: see `akin.options.ReadOptions`.
        """
        request = _requests.build(
            pb.ListUsersRequest,
            ReadOptions,
            options,
            catalog=self._catalog,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._channel.call(self._recommender.ListUsers, request)

    async def delete_user(self, user_id: str, **options: Unpack[DeleteOptions]) -> int:
        """Delete a user.

        Args:
            user_id: your id of the user.
            **options: see `akin.options.DeleteOptions`.

        Returns:
            The sequence number of the deletion; 0 if the user did not exist.
        """
        request = _requests.build(
            pb.DeleteUserRequest, DeleteOptions, options, catalog=self._catalog, user_id=user_id
        )
        response = await self._channel.call(self._recommender.DeleteUser, request)
        return response.sequence
