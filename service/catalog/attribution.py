"""Identifies the responses with recommendations, and counts them and what they lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from service import errors
from service.domain.recommendation_ids import (
    US_PER_DAY,
    RecommendationIds,
    ResponseKind,
    SignalKind,
    SourceKind,
    find_signal_kind,
    find_source_kind,
)
from service.domain.recommendations import Query, Recommendations
from service.storage.click_through import ClickThroughStore


class AttributionObserver(NamedTuple):
    """Is called for each response with recommendations, and for the first click on one."""

    response: Callable[[SourceKind, SignalKind], None]
    click: Callable[[SourceKind, SignalKind], None]


class ResponseCounts:
    """The numbers of responses of this process that are not on disk yet."""

    def __init__(self, store: ClickThroughStore) -> None:
        self._store = store
        self._counts: Counter[ResponseKind] = Counter()

    def add(self, kind: ResponseKind) -> None:
        """Count a response."""
        self._counts[kind] += 1

    async def flush(self) -> None:
        """Add the numbers to those on disk. If nothing was stored, they stay for the next time.

        Raises:
            StoreUnavailable: nothing was stored, or that is not known. In the second case the
                numbers are dropped: it is better to count responses never than twice.
            Overloaded, StoreFull, StoreCorrupted: nothing was stored.
        """
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._store.add_responses(counts)
        except errors.AkinError as exc:
            if not (isinstance(exc, errors.StoreUnavailable) and exc.may_be_stored):
                self._counts.update(counts)
            raise


class Attribution:
    """Identifies the responses for one catalog.

    Args:
        catalog_id: the catalog.
        ids: writes and reads their ids.
        counts: where they are counted.
        observe: is called for each that has recommendations.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
    """

    def __init__(
        self,
        catalog_id: int,
        ids: RecommendationIds,
        counts: ResponseCounts,
        observe: Callable[[SourceKind, SignalKind], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._catalog_id = catalog_id
        self.ids = ids
        self._counts = counts
        self._observe = observe
        self._clock_ns = clock_ns

    def identify(self, query: Query, answer: Recommendations) -> str:
        """Return the id of the response to a valid query; count it if it has recommendations."""
        source = query.source
        assert source is not None  # noqa: S101  (a valid query has a source)
        day = self._clock_ns() // 1_000 // US_PER_DAY
        signals = find_signal_kind(answer.signals)
        kind = ResponseKind(self._catalog_id, day, find_source_kind(source), signals)
        has_recommendations = bool(answer.recommendations)
        if has_recommendations:
            self._counts.add(kind)
            self._observe(kind.source, kind.signals)
        return self.ids.write(kind, has_recommendations=has_recommendations)
