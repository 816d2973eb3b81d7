"""What a call uses of a catalog, and where it gets it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.catalog.attribution import Attribution
from service.catalog.generations import CatalogGenerations
from service.catalog.interactions import CatalogInteractions
from service.catalog.items import CatalogItems
from service.catalog.stats import StatsReader
from service.catalog.users import CatalogUsers
from service.domain.catalog_settings import SignalMode
from service.domain.generations import CatalogRecord
from service.domain.stats import CatalogStats
from service.recommend.recommender import Recommender


@dataclass(frozen=True, slots=True)
class CatalogHandle:
    """The use cases of one catalog, bound to the generation that serves.

    A switch of the generation and a change of settings replace the whole handle. A call keeps the
    handle with which it began, and so is answered from one generation. `signals` is what its
    recommendations are based on, and never SERVER.
    """

    record: CatalogRecord
    signals: SignalMode
    generations: CatalogGenerations
    items: CatalogItems
    users: CatalogUsers
    interactions: CatalogInteractions
    stats: StatsReader
    recommender: Recommender
    attribution: Attribution
    duplicates: DuplicateSearch
    outliers: OutlierSearch
    clusters: Clusterer
    classifier: TextClassifier
    passages: PassageSearch


class CatalogSource(Protocol):
    """The catalogs of a process, as calls need them."""

    def use(
        self, name: str, min_sequence: int = 0, sequence_field: str = "min_sequence"
    ) -> AbstractAsyncContextManager[CatalogHandle]:
        """Return a context that holds a handle of a catalog.

        Entering it may raise CatalogNotFound, NotReady if the catalog cannot be opened now, and
        InvalidRequest if `min_sequence` is no write.

        Args:
            name: a valid name; empty means the default catalog.
            min_sequence: the write that the handle must reflect.
            sequence_field: the field of the request that `min_sequence` is from.
        """

    async def read_stats(self, min_sequence: int = 0) -> list[CatalogStats]:
        """Return the statistics of all catalogs, by ascending name.

        Args:
            min_sequence: the write that the statistics must reflect.

        Raises:
            InvalidRequest: `min_sequence` is no write.
        """
