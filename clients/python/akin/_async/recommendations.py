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
        """Return the items that are most similar to one source, best first.

        Args:
            **options: the source (one of `item_id`, `user_id`, `text` and `examples`), and how to
                choose the items; see `akin.options.RecommendSimilarOptions`.

        Raises:
            ValueError: the options do not have exactly one source.
        """
        request = _requests.build(
            pb.RecommendSimilarRequest, RecommendSimilarOptions, options, catalog=self._catalog
        )
        _requests.check_source(options)
        return await self._channel.call(self._recommender.RecommendSimilar, request)
