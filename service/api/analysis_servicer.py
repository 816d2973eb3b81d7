"""AnalysisService: each method words one use case."""

from __future__ import annotations

from collections.abc import AsyncIterator

from akin.v1 import analysis_service_pb2 as pb
from akin.v1 import filter_pb2, recommender_service_pb2
from google.protobuf import struct_pb2

from service.api.messages import convert
from service.api.messages.filters import filter_
from service.api.recommender_servicer import Services
from service.domain import limits
from service.domain.analyses import (
    DEFAULT_MIN_SIMILARITY,
    ClassificationQuery,
    Cluster,
    ClustersQuery,
    Coverage,
    DuplicateGroups,
    DuplicatesQuery,
    Outlier,
    OutliersQuery,
    PassagesQuery,
)
from service.domain.filters import Filter
from service.domain.items import JsonValue


class AnalysisServicer:
    """Answers the calls of akin.v1.AnalysisService; any method may raise AkinError."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def FindDuplicates(
        self, request: pb.FindDuplicatesRequest
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        """Finds groups of items that repeat each other."""
        found: convert.Violations = []
        analyst = (await self._services.of(request.catalog, found)).analyst
        least = (
            request.min_similarity if request.HasField("min_similarity") else DEFAULT_MIN_SIMILARITY
        )
        query = DuplicatesQuery(request.item_id, least, _filter(request))
        async for answer in analyst.find_duplicates(query, found):
            groups = (
                pb.DuplicateGroup(items=[pb.DuplicateItem(**item._asdict()) for item in group])
                for group in (answer.groups if isinstance(answer, DuplicateGroups) else ())
            )
            yield pb.FindDuplicatesResponse(groups=groups, extent=_extent(answer.coverage))

    async def FindOutliers(self, request: pb.FindOutliersRequest) -> pb.FindOutliersResponse:
        """Finds the items that are least like any others."""
        found: convert.Violations = []
        analyst = (await self._services.of(request.catalog, found)).analyst
        query = OutliersQuery(
            request.limit or limits.OUTLIERS_DEFAULT,
            _filter(request),
            request.view == recommender_service_pb2.ITEM_VIEW_FULL,
        )
        answer = await analyst.find_outliers(query, found)
        return pb.FindOutliersResponse(
            outliers=map(_outlier, answer.outliers), extent=_extent(answer.coverage)
        )

    async def ClusterItems(self, request: pb.ClusterItemsRequest) -> pb.ClusterItemsResponse:
        """Divides the items into groups."""
        found: convert.Violations = []
        analyst = (await self._services.of(request.catalog, found)).analyst
        query = ClustersQuery(
            request.cluster_count,
            _filter(request),
            request.representative_limit or limits.REPRESENTATIVES_DEFAULT,
            request.point_limit,
        )
        answer = await analyst.cluster_items(query, found)
        return pb.ClusterItemsResponse(
            clusters=map(_cluster, answer.clusters),
            points=(
                pb.ClusterPoint(
                    item_id=point.item_id, cluster=point.cluster_index, x=point.x, y=point.y
                )
                for point in answer.points
            ),
            extent=_extent(answer.coverage),
        )

    async def ClassifyText(self, request: pb.ClassifyTextRequest) -> pb.ClassifyTextResponse:
        """Tells which values of an attribute a text would have."""
        found: convert.Violations = []
        analyst = (await self._services.of(request.catalog, found)).analyst
        query = ClassificationQuery(
            text=request.text,
            attribute=request.attribute,
            filter=_filter(request),
            neighbor_count=request.neighbor_count or limits.LABEL_NEIGHBORS_DEFAULT,
            limit=request.limit or limits.LABELS_DEFAULT,
            exclude_item_ids=tuple(request.exclude_item_ids[: limits.EXCLUDED_ITEMS + 1]),
        )
        answer = await analyst.classify_text(query, found)
        return pb.ClassifyTextResponse(
            labels=(
                pb.Label(value=_value(each.value), probability=each.probability)
                for each in answer.labels
            ),
            voters=(pb.Voter(**each._asdict()) for each in answer.neighbors),
            usage=convert.usage_message(answer.usage),
            sequence=answer.sequence,
        )

    async def SearchPassages(self, request: pb.SearchPassagesRequest) -> pb.SearchPassagesResponse:
        """Finds the passages that are most like a text."""
        found: convert.Violations = []
        analyst = (await self._services.of(request.catalog, found)).analyst
        query = PassagesQuery(
            text=request.text,
            limit=request.limit or limits.PASSAGES_DEFAULT,
            filter=_filter(request),
            min_score=request.min_score if request.HasField("min_score") else None,
            limit_per_item=request.passages_per_item,
            min_sequence=request.min_sequence,
        )
        answer = await analyst.search_passages(query, found)
        return pb.SearchPassagesResponse(
            passages=(pb.Passage(**each._asdict()) for each in answer.passages),
            sequence=answer.sequence,
            usage=convert.usage_message(answer.usage),
        )


_Filtered = (
    pb.FindDuplicatesRequest
    | pb.FindOutliersRequest
    | pb.ClusterItemsRequest
    | pb.ClassifyTextRequest
    | pb.SearchPassagesRequest
)


def _filter(request: _Filtered) -> Filter | None:
    wanted: filter_pb2.Filter = request.filter
    return filter_(wanted) if request.HasField("filter") else None


def _extent(extent: Coverage) -> pb.Extent:
    return pb.Extent(
        item_count=extent.item_count,
        examined_count=extent.examined_item_count,
        sampled=extent.sampled,
        sequence=extent.sequence,
    )


def _outlier(outlier: Outlier) -> pb.Outlier:
    message = pb.Outlier(
        item_id=outlier.item_id,
        score=outlier.mean_similarity,
        nearest_item_id=outlier.nearest_item_id,
    )
    if outlier.item is not None:
        message.item.CopyFrom(convert.item_message(outlier.item))
    return message


def _cluster(cluster: Cluster) -> pb.Cluster:
    return pb.Cluster(
        item_count=cluster.item_count,
        words=cluster.keywords,
        representatives=(pb.ClusterItem(**each._asdict()) for each in cluster.representatives),
        cohesion=cluster.cohesion,
        x=cluster.x,
        y=cluster.y,
    )


def _value(value: JsonValue) -> struct_pb2.Value:
    """A string, number or boolean."""
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    assert isinstance(value, float)  # noqa: S101  (labels are nothing else)
    return struct_pb2.Value(number_value=value)
