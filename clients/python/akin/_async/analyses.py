"""Calls that analyze a catalog: near-duplicates, outliers, clusters, labels and passages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from akin import _policy, _requests
from akin._async.connection import Connection
from akin.options import (
    ClassifyTextOptions,
    ClusterItemsOptions,
    FindDuplicatesOptions,
    FindOutliersOptions,
    SearchPassagesOptions,
)
from akin.v1 import analysis_service_pb2 as pb


class AnalysisCalls(Connection):
    """Calls that analyze a catalog.

    `find_duplicates`, `find_outliers` and `cluster_items` examine a whole catalog, which can take
    minutes, so they have a deadline of their own. Shortly before it, the server responds with the
    results for the items examined so far. `coverage` in the response says how many items that was.
    """

    def find_duplicates(
        self, **options: Unpack[FindDuplicatesOptions]
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        """Yield events: `progress`, and at the end `groups` of near-duplicates, largest first.

            for event in client.find_duplicates():
                for group in event.groups.groups:
                    print([item.item_id for item in group.items])

        The call starts with the iteration and ends when the iterator is closed.

        Args:
            **options: see `akin.options.FindDuplicatesOptions`.
        """
        timeout_seconds = options.pop("timeout_seconds", _policy.CATALOG_TIMEOUT_SECONDS)
        request = _requests.build(
            pb.FindDuplicatesRequest, FindDuplicatesOptions, options, catalog=self._catalog
        )
        return self._channel.stream(self._analyses.FindDuplicates, request, timeout_seconds)

    async def find_outliers(
        self, **options: Unpack[FindOutliersOptions]
    ) -> pb.FindOutliersResponse:
        """Return the items that are least similar to all others, strongest outlier first.

        Args:
            **options: see `akin.options.FindOutliersOptions`.
        """
        timeout_seconds = options.pop("timeout_seconds", _policy.CATALOG_TIMEOUT_SECONDS)
        request = _requests.build(
            pb.FindOutliersRequest, FindOutliersOptions, options, catalog=self._catalog
        )
        return await self._channel.call(self._analyses.FindOutliers, request, timeout_seconds)

    async def cluster_items(
        self, **options: Unpack[ClusterItemsOptions]
    ) -> pb.ClusterItemsResponse:
        """Return clusters of similar items, largest first, with keywords for each.

        Args:
            **options: see `akin.options.ClusterItemsOptions`.
        """
        timeout_seconds = options.pop("timeout_seconds", _policy.CATALOG_TIMEOUT_SECONDS)
        request = _requests.build(
            pb.ClusterItemsRequest, ClusterItemsOptions, options, catalog=self._catalog
        )
        return await self._channel.call(self._analyses.ClusterItems, request, timeout_seconds)

    async def classify_text(
        self, text: str, attribute: str, **options: Unpack[ClassifyTextOptions]
    ) -> pb.ClassifyTextResponse:
        """Predict the values of an attribute for a text from similar items, most probable first.

        Args:
            text: text to classify.
            attribute: name of the attribute; dots lead into nested attributes.
            **options: see `akin.options.ClassifyTextOptions`.
        """
        request = _requests.build(
            pb.ClassifyTextRequest,
            ClassifyTextOptions,
            options,
            catalog=self._catalog,
            text=text,
            attribute=attribute,
        )
        return await self._channel.call(self._analyses.ClassifyText, request)

    async def search_passages(
        self, text: str, **options: Unpack[SearchPassagesOptions]
    ) -> pb.SearchPassagesResponse:
        """Return the passages of items' texts that are most similar to a text, best first.

        Args:
            text: text to search for.
            **options: see `akin.options.SearchPassagesOptions`.
        """
        request = _requests.build(
            pb.SearchPassagesRequest,
            SearchPassagesOptions,
            options,
            catalog=self._catalog,
            text=text,
        )
        return await self._channel.call(self._analyses.SearchPassages, request)
