"""Makes the handles of catalogs from concrete classes: the use cases of calls."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.background.model_loading import BehaviorModels
from service.catalog.attribution import Attribution, AttributionObserver, ResponseCounts
from service.catalog.generations import CatalogGenerations
from service.catalog.handle import CatalogHandle
from service.catalog.interactions import CatalogInteractions
from service.catalog.items import CatalogItems
from service.catalog.stats import StatsReader
from service.catalog.users import CatalogUsers
from service.domain.catalog_settings import (
    CatalogSettings,
    Prior,
    RankingMode,
    SignalMode,
    resolve_ranking,
    resolve_signals,
)
from service.domain.generations import CatalogRecord
from service.domain.index_kinds import IndexKind
from service.domain.recommendation_ids import RecommendationIds
from service.index.lexical_search import WordQueries
from service.recommend.attribute_prior import AttributePrior
from service.recommend.new_items import NewItems
from service.recommend.profile_reader import ProfileReader
from service.recommend.query_preparation import QueryPreparation
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import RANKINGS
from service.settings import Settings
from service.storage.stores import Stores


class HandleFactory:
    """Makes the handles of all catalogs of one worker.

    Args:
        settings: the settings of the server.
        stores: the data on disk.
        behavior_models: the trained models of catalogs.
        response_counts: counts responses until they are stored.
        observer: counts responses and clicks in the metrics.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        behavior_models: BehaviorModels,
        response_counts: ResponseCounts,
        observer: AttributionObserver,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._behavior_models = behavior_models
        self._response_counts = response_counts
        self._observer = observer

    def make(
        self, record: CatalogRecord, generations: CatalogGenerations, new_items: NewItems
    ) -> CatalogHandle:
        """Return the use cases of a catalog.

        Args:
            record: the catalog.
            generations: its open generations.
            new_items: the new items of the serving one.
        """
        stores, serving = self._stores, generations.serving
        generation, reader = serving.generation, serving.reader
        text_embedder = serving.text_embedder
        signals = resolve_signals(SignalMode(self._settings.signals), record.settings.signals)
        word_queries = self._make_word_queries(serving.index)
        preparation = QueryPreparation(
            ProfileReader(stores.profiles, generation, text_embedder, record.settings.all_weights),
            partial(self._behavior_models.find, record.catalog_id),
            new_items,
            replace(record.settings, signals=signals),
            word_queries,
        )
        retriever = self._make_retriever(record.settings)
        return CatalogHandle(
            record=record,
            signals=signals,
            generations=generations,
            items=CatalogItems(stores.items, generations),
            users=CatalogUsers(stores.users, generations),
            interactions=CatalogInteractions(
                stores.interactions, generation, record.settings.liked_types, self._observer.click
            ),
            stats=StatsReader(stores, generations),
            recommender=Recommender(stores.items, generation, reader, preparation, retriever),
            attribution=Attribution(
                record.catalog_id,
                RecommendationIds(record.catalog_id, stores.database.store_id),
                self._response_counts,
                self._observer.response,
                time.time_ns,
            ),
            duplicates=DuplicateSearch(stores.items, generation, reader),
            outliers=OutlierSearch(stores.items, generation, reader),
            clusters=Clusterer(stores.items, generation, reader),
            classifier=TextClassifier(stores.items, generation, reader, text_embedder),
            passages=PassageSearch(stores.items, generation, reader, text_embedder, word_queries),
        )

    def _make_retriever(self, settings: CatalogSettings) -> Retriever:
        """Return what retrieves by the ranking and the prior of a catalog, or of the server."""
        ranking = resolve_ranking(RankingMode(self._settings.ranking), settings.ranking)
        prior = settings.prior
        if prior is None:
            prior = Prior(self._settings.prior_attribute, self._settings.prior_weight)
        return Retriever(
            RANKINGS[ranking],
            AttributePrior(prior.attribute, prior.weight) if prior.attribute else None,
        )

    def _make_word_queries(self, index: IndexKind) -> WordQueries:
        """Return what makes word queries; only indexes in memory have the words of texts."""
        has_words = self._settings.hybrid and index is IndexKind.MEMORY
        return WordQueries(self._settings.lexical_weight if has_words else None)
