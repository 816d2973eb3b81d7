"""Calls for users."""

from __future__ import annotations

from collections.abc import Iterable

from akin import _requests
from akin._async.connection import Connection
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import user_pb2


class UserCalls(Connection):
    """Stores, returns and deletes users."""

    async def upsert_user(
        self,
        user_id: str,
        preferences: Iterable[str | user_pb2.Preference] = (),
        liked_items: Iterable[str | user_pb2.LikedItem] = (),
    ) -> pb.UpsertUserResponse:
        """Stores a user and replaces the one with the same id.

        Args:
            user_id: your id of the user.
            preferences: texts that describe what the user likes; a plain string has weight 1.
            liked_items: ids of items that the user liked, oldest first; a plain string has
                weight 1.
        """
        user = _requests.user(user_id, preferences, liked_items)
        request = pb.UpsertUserRequest(catalog=self._catalog, user=user)
        return await self._channel.call(self._recommender.UpsertUser, request)

    async def get_user(self, user_id: str) -> user_pb2.User:
        """Returns a user."""
        request = pb.GetUserRequest(catalog=self._catalog, user_id=user_id)
        response = await self._channel.call(self._recommender.GetUser, request)
        return response.user

    async def delete_user(self, user_id: str) -> None:
        """Deletes a user."""
        request = pb.DeleteUserRequest(catalog=self._catalog, user_id=user_id)
        await self._channel.call(self._recommender.DeleteUser, request)
