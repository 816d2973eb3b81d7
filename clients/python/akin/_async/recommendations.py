"""Calls for recommendations."""

from __future__ import annotations

from typing import Unpack

from akin import _requests
from akin._async.connection import Connection
from akin.options import RecommendSimilarOptions
from akin.v1 import recommender_service_pb2 as pb


class RecommendationCalls(Connection):
    """Calls that recommend items."""

    async def recommend_similar(
        self, **options: Unpack[RecommendSimilarOptions]
    ) -> pb.RecommendSimilarResponse:
        """Return the items that suit one source best, best first.

        Args:
            **options: the source (one of `item_id`, `user_id`, `text`, `examples` and `popular`),
                and how to choose the items; see `akin.options.RecommendSimilarOptions`.

        Raises:
            ValueError: the options do not have exactly one source, or `exclude_interactions` is a
                single string.
        """
        request = _requests.recommend_similar(self._catalog, **options)
        return await self._channel.call(self._recommender.RecommendSimilar, request)
