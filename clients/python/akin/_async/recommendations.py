"""Calls for recommendations."""

from __future__ import annotations

from collections.abc import Iterable
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
            **options: the source (one of `item_id`, `user_id`, `text`, `examples`, `popular` and
                `vector`), and how to choose the items; see
                `akin.options.RecommendSimilarOptions`.

        Raises:
            ValueError: the options do not have exactly one source, or `exclude_interactions` is a
                single string.
        """
        request = _requests.recommend_similar(self._catalog, **options)
        return await self._channel.call(self._recommender.RecommendSimilar, request)

    async def batch_recommend(
        self, queries: Iterable[RecommendSimilarOptions]
    ) -> pb.BatchRecommendResponse:
        """Answer up to 100 queries like `recommend_similar`, in order.

            client.batch_recommend([{"user_id": "ann"}, {"user_id": "bob", "limit": 5}])

        A query that fails does not affect the others: its result has a code other than 0.

        Args:
            queries: the keywords of `recommend_similar` for each query.

        Raises:
            ValueError: a query does not have exactly one source, or its `exclude_interactions` is a
                single string.
        """
        request = _requests.batch_recommend(self._catalog, queries)
        return await self._channel.call(self._recommender.BatchRecommend, request)
