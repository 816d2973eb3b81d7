"""Questions about a catalog, in process and through a server's stubs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from akin.v1 import analysis_service_pb2 as pb
from akin.v1.analysis_service_pb2_grpc import AnalysisServiceStub

from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.domain.analyses import (
    Classification,
    ClassificationQuery,
    Clusters,
    ClustersQuery,
    DuplicateGroups,
    DuplicatesProgress,
    DuplicatesQuery,
    Outliers,
    OutliersQuery,
    Passages,
    PassagesQuery,
)
from support.catalogs import Catalog
from support.rejections import OPTIONS


async def find_duplicates(
    catalog: Catalog, query: DuplicatesQuery
) -> list[DuplicatesProgress | DuplicateGroups]:
    """Return every event of a search for near-duplicates."""
    search = DuplicateSearch(catalog.stores.items, catalog.row, catalog.follower)
    return [event async for event in search.find(query)]


async def find_outliers(catalog: Catalog, query: OutliersQuery) -> Outliers:
    """Return the outliers of a catalog."""
    return await OutlierSearch(catalog.stores.items, catalog.row, catalog.follower).find(query)


async def cluster_items(catalog: Catalog, query: ClustersQuery) -> Clusters:
    """Return the clusters of a catalog."""
    return await Clusterer(catalog.stores.items, catalog.row, catalog.follower).find(query)


async def classify_text(catalog: Catalog, query: ClassificationQuery) -> Classification:
    """Return the labels of a text."""
    classifier = TextClassifier(
        catalog.stores.items, catalog.row, catalog.follower, catalog.text_embedder
    )
    return await classifier.classify(query)


async def search_passages(catalog: Catalog, query: PassagesQuery) -> Passages:
    """Return the passages that are most similar to a text."""
    search = PassageSearch(
        catalog.stores.items, catalog.row, catalog.follower, catalog.text_embedder
    )
    return await search.search(query)


def groups(events: list[DuplicatesProgress | DuplicateGroups]) -> list[list[str]]:
    """Return the groups of all events, as ids."""
    return [
        [item.item_id for item in group.items]
        for event in events
        if isinstance(event, DuplicateGroups)
        for group in event.groups
    ]


@contextmanager
def stub(address: str) -> Iterator[AnalysisServiceStub]:
    """A stub of a server's AnalysisService."""
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        yield AnalysisServiceStub(channel)


def found_groups(replies: list[pb.FindDuplicatesResponse]) -> list[list[str]]:
    """Return the groups of all replies, as ids."""
    return [
        [item.item_id for item in group.items] for reply in replies for group in reply.groups.groups
    ]
