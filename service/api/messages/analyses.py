"""Between the messages of analyses and domain values."""

from __future__ import annotations

from akin.v1 import analysis_service_pb2 as pb
from google.protobuf import struct_pb2

from service import errors
from service.api.messages.filters import read_filter
from service.api.messages.items import item_message
from service.api.messages.recommendations import read_full_view
from service.api.messages.usage import usage_message
from service.domain import limits
from service.domain.analyses import (
    DEFAULT_MIN_SIMILARITY,
    Classification,
    ClassificationQuery,
    Cluster,
    Clusters,
    ClustersQuery,
    Coverage,
    DuplicateGroup,
    DuplicateGroups,
    DuplicatesProgress,
    DuplicatesQuery,
    Outlier,
    Outliers,
    OutliersQuery,
    Passages,
    PassagesQuery,
)
from service.domain.analyses_validation import (
    classification_violations,
    clusters_violations,
    duplicates_violations,
    outliers_violations,
    passages_violations,
)
from service.domain.items import JsonValue
from service.domain.validation import read_violations


def parse_find_duplicates(request: pb.FindDuplicatesRequest) -> DuplicatesQuery:
    """Return the query for near-duplicates.

    Raises:
        InvalidRequest: with every violation.
    """
    query = DuplicatesQuery(
        item_id=request.item_id,
        min_similarity=request.min_similarity
        if request.HasField("min_similarity")
        else DEFAULT_MIN_SIMILARITY,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        exact=request.exact,
    )
    errors.raise_if_invalid(
        (*read_violations(request.catalog, request.min_sequence), *duplicates_violations(query))
    )
    return query


def find_duplicates_response(
    event: DuplicatesProgress | DuplicateGroups,
) -> pb.FindDuplicatesResponse:
    """Return one event of a search for near-duplicates."""
    coverage = _coverage_message(event.coverage)
    if isinstance(event, DuplicatesProgress):
        return pb.FindDuplicatesResponse(progress=pb.DuplicatesProgress(coverage=coverage))
    groups = pb.DuplicateGroups(groups=map(_group_message, event.groups), coverage=coverage)
    return pb.FindDuplicatesResponse(groups=groups)


def _group_message(group: DuplicateGroup) -> pb.DuplicateGroup:
    items = (
        pb.DuplicateItem(item_id=item.item_id, similarity=item.similarity) for item in group.items
    )
    return pb.DuplicateGroup(items=items, truncated=group.truncated)


def parse_find_outliers(request: pb.FindOutliersRequest) -> OutliersQuery:
    """Return the query for outliers.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*read_violations(request.catalog, request.min_sequence)]
    query = OutliersQuery(
        limit=request.limit or limits.OUTLIERS_DEFAULT,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        full=read_full_view(request.view, violations),
        exact=request.exact,
    )
    errors.raise_if_invalid((*violations, *outliers_violations(query)))
    return query


def find_outliers_response(outliers: Outliers) -> pb.FindOutliersResponse:
    """Return the outliers."""
    return pb.FindOutliersResponse(
        outliers=map(_outlier_message, outliers.outliers),
        coverage=_coverage_message(outliers.coverage),
    )


def _outlier_message(outlier: Outlier) -> pb.Outlier:
    message = pb.Outlier(
        item_id=outlier.item_id,
        mean_similarity=outlier.mean_similarity,
        nearest_item_id=outlier.nearest_item_id,
    )
    if outlier.item is not None:
        message.item.CopyFrom(item_message(outlier.item))
    return message


def parse_cluster_items(request: pb.ClusterItemsRequest) -> ClustersQuery:
    """Return the query for clusters.

    Raises:
        InvalidRequest: with every violation.
    """
    query = ClustersQuery(
        cluster_count=request.cluster_count,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        representative_limit=request.representative_limit or limits.REPRESENTATIVES_DEFAULT,
        point_limit=request.point_limit,
    )
    errors.raise_if_invalid(
        (*read_violations(request.catalog, request.min_sequence), *clusters_violations(query))
    )
    return query


def cluster_items_response(clusters: Clusters) -> pb.ClusterItemsResponse:
    """Return the clusters."""
    return pb.ClusterItemsResponse(
        clusters=map(_cluster_message, clusters.clusters),
        points=(
            pb.ClusterPoint(
                item_id=point.item_id, cluster_index=point.cluster_index, x=point.x, y=point.y
            )
            for point in clusters.points
        ),
        coverage=_coverage_message(clusters.coverage),
    )


def _cluster_message(cluster: Cluster) -> pb.Cluster:
    return pb.Cluster(
        item_count=cluster.item_count,
        keywords=cluster.keywords,
        representatives=(
            pb.ClusterItem(item_id=item.item_id, similarity=item.similarity)
            for item in cluster.representatives
        ),
        cohesion=cluster.cohesion,
        x=cluster.x,
        y=cluster.y,
    )


def parse_classify_text(request: pb.ClassifyTextRequest) -> ClassificationQuery:
    """Return the query for labels.

    Raises:
        InvalidRequest: with every violation.
    """
    query = ClassificationQuery(
        text=request.text,
        attribute=request.attribute,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        neighbor_count=request.neighbor_count or limits.LABEL_NEIGHBORS_DEFAULT,
        limit=request.limit or limits.LABELS_DEFAULT,
        exclude_item_ids=tuple(request.exclude_item_ids[: limits.EXCLUDED_ITEMS + 1]),
        exact=request.exact,
    )
    errors.raise_if_invalid(
        (*read_violations(request.catalog, request.min_sequence), *classification_violations(query))
    )
    return query


def classify_text_response(labels: Classification) -> pb.ClassifyTextResponse:
    """Return the labels."""
    return pb.ClassifyTextResponse(
        labels=(
            pb.Label(value=_value_message(label.value), probability=label.probability)
            for label in labels.labels
        ),
        neighbors=(
            pb.Neighbor(item_id=neighbor.item_id, similarity=neighbor.similarity)
            for neighbor in labels.neighbors
        ),
        usage=usage_message(labels.usage),
        sequence=labels.sequence,
    )


def parse_search_passages(request: pb.SearchPassagesRequest) -> PassagesQuery:
    """Return the query for passages.

    Raises:
        InvalidRequest: with every violation.
    """
    query = PassagesQuery(
        text=request.text,
        limit=request.limit or limits.PASSAGES_DEFAULT,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        min_score=request.min_score if request.HasField("min_score") else None,
        limit_per_item=request.limit_per_item,
        exact=request.exact,
        lexical_weight=request.lexical_weight if request.HasField("lexical_weight") else None,
    )
    errors.raise_if_invalid(
        (*read_violations(request.catalog, request.min_sequence), *passages_violations(query))
    )
    return query


def search_passages_response(passages: Passages) -> pb.SearchPassagesResponse:
    """Return the passages."""
    return pb.SearchPassagesResponse(
        passages=(
            pb.Passage(
                item_id=passage.item_id,
                text=passage.text,
                start_offset=passage.start_offset,
                end_offset=passage.end_offset,
                score=passage.score,
            )
            for passage in passages.passages
        ),
        sequence=passages.sequence,
        usage=usage_message(passages.usage),
    )


def _coverage_message(coverage: Coverage) -> pb.Coverage:
    return pb.Coverage(
        item_count=coverage.item_count,
        examined_item_count=coverage.examined_item_count,
        sampled=coverage.sampled,
        sequence=coverage.sequence,
    )


def _value_message(value: JsonValue) -> struct_pb2.Value:
    """Return the message of a string, number or boolean."""
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    assert isinstance(value, float)  # noqa: S101  (labels have no other type)
    return struct_pb2.Value(number_value=value)
