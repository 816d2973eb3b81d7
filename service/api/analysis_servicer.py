"""AnalysisService: each method parses its request, calls one use case and words the response."""

from __future__ import annotations

from collections.abc import AsyncIterator

from akin.v1 import analysis_service_pb2 as pb

from service.api.messages import analyses
from service.catalog.handle import CatalogSource


class AnalysisServicer:
    """Serves akin.v1.AnalysisService; any method may raise AkinError."""

    def __init__(self, catalogs: CatalogSource) -> None:
        self._catalogs = catalogs

    async def FindDuplicates(
        self, request: pb.FindDuplicatesRequest
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        """Find groups of near-duplicate items."""
        query = analyses.parse_find_duplicates(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            async for duplicates in catalog.duplicates.find(query):
                yield analyses.find_duplicates_response(duplicates)

    async def FindOutliers(self, request: pb.FindOutliersRequest) -> pb.FindOutliersResponse:
        """Find the items that are least similar to all others."""
        query = analyses.parse_find_outliers(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            outliers = await catalog.outliers.find(query)
        return analyses.find_outliers_response(outliers)

    async def ClusterItems(self, request: pb.ClusterItemsRequest) -> pb.ClusterItemsResponse:
        """Cluster the items by similarity."""
        query = analyses.parse_cluster_items(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            clusters = await catalog.clusters.find(query)
        return analyses.cluster_items_response(clusters)

    async def ClassifyText(self, request: pb.ClassifyTextRequest) -> pb.ClassifyTextResponse:
        """Predict the values of an attribute for a text."""
        query = analyses.parse_classify_text(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            labels = await catalog.classifier.classify(query)
        return analyses.classify_text_response(labels)

    async def SearchPassages(self, request: pb.SearchPassagesRequest) -> pb.SearchPassagesResponse:
        """Find the passages that are most similar to a text."""
        query = analyses.parse_search_passages(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            passages = await catalog.passages.search(query)
        return analyses.search_passages_response(passages)
