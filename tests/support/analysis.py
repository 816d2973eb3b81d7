"""Analyses of a catalog, in process and through a server's stubs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

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
    DuplicateGroup,
    DuplicateGroups,
    DuplicatesProgress,
    DuplicatesQuery,
    Outliers,
    OutliersQuery,
    Passages,
    PassagesQuery,
)
from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Item
from service.domain.vectors import Mask, Vectors
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQueries
from service.index.vector_index import Hits
from support.catalogs import Catalog, running
from support.clock import FakeClock
from support.embedders import DIMENSIONS, FaultyEmbedder
from support.rejections import OPTIONS
from support.stores import indexed
from support.texts import distinct

RED = Filter(all=(Condition("color", Equals("red")),))
STORY = "an old captain sails a small ship to the far islands of his youth and finds a wreck"

# Vectors from which on the index of `running_with_graphs` has graphs.
FIRST_GRAPH_VECTORS = 200


@asynccontextmanager
async def running_with_texts(
    folder: Path, texts: Mapping[str, str], clock: FakeClock | None = None
) -> AsyncIterator[Catalog]:
    """Run a catalog of texts; items are red if their ids start with r, and blue otherwise."""
    async with running(folder, FaultyEmbedder(), clock or FakeClock()) as catalog:
        for item_id, text in texts.items():
            await put_colored(catalog, item_id, text)
        yield catalog


def draw_texts(count: int) -> dict[str, str]:
    """Return different texts by id, half of them of red items; the same each time."""
    generator = random.Random(1)
    return {f"{'rb'[n % 2]}{n:03}": distinct(generator.randrange(4_000)) for n in range(count)}


async def put_colored(
    catalog: Catalog, item_id: str, text: str, expire_time_us: int | None = None
) -> None:
    """Store an item with its color, and with its color and its first word as tags."""
    color = "red" if item_id.startswith("r") else "blue"
    attributes = {"color": color, "tags": [color, text.split(maxsplit=1)[0]]}
    await catalog.put_item(Item(item_id, text, attributes, expire_time_us))


async def put_many(catalog: Catalog, texts: Mapping[str, str]) -> None:
    """Store many items in one transaction."""
    writes = [indexed(item_id, text) for item_id, text in texts.items()]
    await catalog.stores.items.upsert_many(catalog.row, writes)
    await catalog.caught_up()


class LossyIndex(SegmentedIndex):
    """An index whose approximate searches are cheap, and miss the best hit of each query."""

    def estimate_cost(self, queries: int) -> int:
        """Return a cost so low that approximate searches are preferred."""
        return queries

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """Return the nearest keys, without the best one unless the search is exact."""
        hits = super().search(queries, limit, exclude, allowed, exact=exact)
        return hits if exact else [_drop_first(query_hits) for query_hits in hits]

    def search_by_key(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """Return the nearest other keys, without the best one unless the search is exact."""
        hits = super().search_by_key(key, limit, exclude, allowed, exact=exact)
        return hits if exact else _drop_first(hits)


def _drop_first(hits: Hits) -> Hits:
    return Hits(hits.keys[1:], hits.scores[1:])


@asynccontextmanager
async def running_with_graphs(folder: Path, texts: Mapping[str, str]) -> AsyncIterator[Catalog]:
    """Run a catalog of texts whose index has graphs, and whose approximate searches are lossy."""
    async with running(folder, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, texts)
        index = LossyIndex(DIMENSIONS, first_graph_vectors=FIRST_GRAPH_VECTORS)
        await catalog.follower.replace_index(ItemIndex(index, FakeClock()))
        while (build := await catalog.follower.start_build(quiet=True)) is not None:
            await asyncio.to_thread(build.run)
            await catalog.follower.finish_build(build)
        assert len(texts) == catalog.follower.collect_stats().graph_vectors
        yield catalog


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
        catalog.stores.items,
        catalog.row,
        catalog.follower,
        catalog.text_embedder,
        None if catalog.item_index.terms is None else WordQueries(0.0),
    )
    return await search.search(query)


def list_groups(events: list[DuplicatesProgress | DuplicateGroups]) -> list[DuplicateGroup]:
    """Return the groups of all events."""
    return [
        group for event in events if isinstance(event, DuplicateGroups) for group in event.groups
    ]


def groups(events: list[DuplicatesProgress | DuplicateGroups]) -> list[list[str]]:
    """Return the groups of all events, as ids."""
    return [[item.item_id for item in group.items] for group in list_groups(events)]


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
