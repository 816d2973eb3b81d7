"""The use cases that look at a catalog as a whole: near-duplicates, outliers, groups, and more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from service import errors
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
from service.domain.analyses_validation import (
    classification_violations,
    clusters_violations,
    duplicates_violations,
    outliers_violations,
    passages_violations,
)
from service.domain.generations import Generation
from service.domain.violations import Violation
from service.embedding.text_embedder import TextEmbedder
from service.index.follower import Follower
from service.storage import Store


class Analyst:
    """Answers questions about one catalog.

    `found` is what reading a request found wrong with it, to be told with the rest. Every method
    may raise InvalidRequest.
    """

    def __init__(
        self, store: Store, generation: Generation, follower: Follower, text_embedder: TextEmbedder
    ) -> None:
        self._store = store
        self._follower = follower
        self._duplicates = DuplicateSearch(store, generation, follower)
        self._outliers = OutlierSearch(store, generation, follower)
        self._clusterer = Clusterer(store, generation, follower)
        self._labeller = TextClassifier(store, generation, follower, text_embedder)
        self._passages = PassageSearch(store, generation, follower, text_embedder)

    async def find_duplicates(
        self, query: DuplicatesQuery, found: Sequence[Violation] = ()
    ) -> AsyncIterator[DuplicatesProgress | DuplicateGroups]:
        """Groups of items that repeat each other, largest first; before them the progress.

        Raises:
            ItemNotFound: there is no item of the query's id.
            EmbeddingUnavailable: that item has no vector yet.
        """
        errors.raise_if_invalid((*duplicates_violations(query), *found))
        async for each in self._duplicates.found(query):
            yield each

    async def find_outliers(
        self, query: OutliersQuery, found: Sequence[Violation] = ()
    ) -> Outliers:
        """The items that are least like any others, oddest first."""
        errors.raise_if_invalid((*outliers_violations(query), *found))
        return await self._outliers.found(query)

    async def cluster_items(
        self, query: ClustersQuery, found: Sequence[Violation] = ()
    ) -> Clusters:
        """Groups of items that are like each other, largest first.

        Raises:
            TooFewItems: there are fewer items than groups.
        """
        errors.raise_if_invalid((*clusters_violations(query), *found))
        return await self._clusterer.found(query)

    async def classify_text(
        self, query: ClassificationQuery, found: Sequence[Violation] = ()
    ) -> Classification:
        """The values of an attribute that a text would have, likeliest first.

        Raises:
            EmbeddingUnavailable: the text cannot be embedded for now.
        """
        errors.raise_if_invalid((*classification_violations(query), *found))
        return await self._labeller.labels(query)

    async def search_passages(
        self, query: PassagesQuery, found: Sequence[Violation] = ()
    ) -> Passages:
        """The passages of items' texts that are most like a text, best first.

        Raises:
            EmbeddingUnavailable: the text cannot be embedded for now.
        """
        last = self._store.last_sequence
        if query.min_sequence > last:
            last = await self._store.refresh()
        errors.raise_if_invalid((*passages_violations(query, last), *found))
        await self._follower.reached(query.min_sequence)
        return await self._passages.found(query)
