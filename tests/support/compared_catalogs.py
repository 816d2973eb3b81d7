"""One catalog with two indexes, in memory and shared, whose answers must be the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from service import errors
from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS, CatalogSettings, SignalMode
from service.domain.recommendations import Query, Recommendation, Recommendations
from service.domain.vectors import Vectors
from service.index.corpus_statistics import CorpusStatistics
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.recommend.behavior_model import BehaviorModel
from service.recommend.new_items import NewItems
from service.recommend.profile_reader import ProfileReader
from service.recommend.query_preparation import QueryPreparation
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum
from support.catalogs import Catalog, running
from support.clock import FakeClock
from support.embedders import DIMENSIONS, WordEmbedder
from support.item_indexes import INDEX_THREADS, fail_to_open
from support.shared_indexes import SERVED, ReplicaOptions, SharedReplica, open_replica
from support.shared_reads import SCORE_TOLERANCE
from support.tasks import left


class BorrowingIndex(ItemIndex):
    """An item index in memory with the statistics of a shared index, which can be older."""

    borrowed: CorpusStatistics | None = None

    def compute_statistics(self) -> CorpusStatistics:
        """Return the borrowed statistics."""
        return self.borrowed or super().compute_statistics()

    def read_sample(self) -> Vectors:
        """Return the borrowed sample."""
        return self.compute_statistics().sample if self.borrowed else super().read_sample()


@dataclass(frozen=True, slots=True)
class ComparedCatalog:
    """A catalog, and what recommends from each of its indexes."""

    catalog: Catalog
    replica: SharedReplica
    memory_index: BorrowingIndex
    memory: Follower
    from_memory: Recommender
    from_shared: Recommender

    @property
    def shared_catalog(self) -> Catalog:
        """The catalog, whose analyses read the shared index."""
        # They need no more than an IndexReader.
        return replace(self.catalog, follower=cast("Follower", self.replica.index))

    async def follow(self) -> None:
        """Wait until both indexes reflect every write, and have the same statistics."""
        await self.memory.wait_for(await self.replica.follow())
        self.memory_index.borrowed = await self.replica.index.read(
            lambda item_index: item_index.compute_statistics(), queries=1
        )

    async def compare(self, query: Query) -> Sequence[Recommendation]:
        """Recommend from both indexes, and check that the answers are equal except for rounding."""
        expected = await _recommend(self.from_memory, query)
        answer = await _recommend(self.from_shared, query)
        if isinstance(expected, errors.AkinError) or isinstance(answer, errors.AkinError):
            assert str(expected) == str(answer), query
            assert type(expected) is type(answer)
            return ()
        pairs = list(zip(expected.recommendations, answer.recommendations, strict=False))
        assert _list_ids(expected) == _list_ids(answer), query
        for wanted, given in pairs:
            assert abs(wanted.score - given.score) < SCORE_TOLERANCE, query
            assert wanted.item == given.item
            assert [explanation[0] for explanation in wanted.explanations] == [
                explanation[0] for explanation in given.explanations
            ]
        assert expected.signals == answer.signals, query
        assert expected.missing_item_ids == answer.missing_item_ids
        assert expected.sequence == answer.sequence
        return answer.recommendations


async def _recommend(recommender: Recommender, query: Query) -> Recommendations | errors.AkinError:
    try:
        return await recommender.recommend(query)
    except errors.AkinError as exc:
        return exc


def _list_ids(recommendations: Recommendations) -> list[str]:
    return [recommendation.item_id for recommendation in recommendations.recommendations]


@asynccontextmanager
async def compare_catalogs(
    folder: Path,
    clock: FakeClock,
    model: BehaviorModel | None = None,
    embedder: WordEmbedder | None = None,
    options: ReplicaOptions = SERVED,
) -> AsyncIterator[ComparedCatalog]:
    """Run a catalog with both kinds of index, and with a model of behavior if one is given."""
    async with (
        running(folder, embedder or WordEmbedder(), clock) as catalog,
        open_replica(catalog.stores, catalog.row, clock, options) as replica,
    ):
        memory_index = BorrowingIndex(ExactIndex(DIMENSIONS), clock)
        memory = Follower(
            catalog.stores.items, catalog.row, memory_index, INDEX_THREADS, fail_to_open
        )
        following = asyncio.create_task(memory.run())

        def create_recommender(reader: IndexReader) -> Recommender:
            profiles = ProfileReader(
                catalog.stores.profiles, catalog.row, catalog.text_embedder, DEFAULT_TYPE_WEIGHTS
            )
            settings = CatalogSettings(SignalMode.AUTO)
            preparation = QueryPreparation(profiles, lambda: model, NewItems(), settings)
            retriever = Retriever(SoftMaximum, None)
            return Recommender(catalog.stores.items, catalog.row, reader, preparation, retriever)

        try:
            await replica.settle()
            yield ComparedCatalog(
                catalog,
                replica,
                memory_index,
                memory,
                create_recommender(memory),
                create_recommender(replica.index),
            )
        finally:
            await left(following)
