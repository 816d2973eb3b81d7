"""What a call uses of a catalog."""

from __future__ import annotations

from dataclasses import dataclass

from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.catalog.generations import CatalogGenerations
from service.catalog.items import CatalogItems
from service.catalog.stats import StatsReader
from service.catalog.users import CatalogUsers
from service.domain.generations import CatalogRecord
from service.recommend.recommender import Recommender


@dataclass(frozen=True, slots=True)
class CatalogHandle:
    """The use cases of one catalog, bound to the generation that serves.

    A switch of the generation replaces the whole handle. A call keeps the handle with which it
    began, and so is answered from one generation.
    """

    record: CatalogRecord
    generations: CatalogGenerations
    items: CatalogItems
    users: CatalogUsers
    stats: StatsReader
    recommender: Recommender
    duplicates: DuplicateSearch
    outliers: OutlierSearch
    clusters: Clusterer
    classifier: TextClassifier
    passages: PassageSearch
