"""The items that one read needs, as an item index in memory.

So the work of a read is the same for both kinds of index. What it has to know of the whole catalog,
it finds in the catalog's statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.items import Change
from service.domain.vectors import Vectors
from service.index.attributes import Attributes
from service.index.corpus_statistics import CorpusStatistics
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.shared.catalog_statistics import CatalogStatistics


class WorkingSet(ItemIndex):
    """Some items of a catalog, with the statistics of all, as of the write `sequence`.

    Args:
        dimensions: the width of every vector.
        clock_ns: returns the time in nanoseconds since 1970.
        statistics: those of the catalog.
        sequence: the sequence number that the items reflect at least.
    """

    is_temporary = True

    def __init__(
        self,
        dimensions: int,
        clock_ns: Callable[[], int],
        statistics: CatalogStatistics,
        sequence: int,
    ) -> None:
        super().__init__(ExactIndex(dimensions), clock_ns)
        self.sequence = sequence
        self.attributes = SampledAttributes(statistics.attributes)
        self._has_statistics = statistics.corpus.item_count > 0
        known = statistics if self._has_statistics else CatalogStatistics.empty(dimensions)
        self._statistics = known.corpus

    def add(self, changes: Sequence[Change]) -> None:
        """Add items; those that are in it already or have expired are left out."""
        new = {change.item_id: change for change in changes if change.item_id not in self._keys}
        self.apply(list(new.values()), self.sequence)
        self.drop_expired()

    def compute_statistics(self) -> CorpusStatistics:
        """Return the statistics of all vectors of the catalog.

        Until there are any for its first items, return those of the items here.
        """
        if self._has_statistics or not len(self):
            return self._statistics
        return super().compute_statistics()

    def read_sample(self) -> Vectors:
        """Return vectors that represent the catalog: those of its statistics."""
        if self._has_statistics or not len(self):
            return self._statistics.sample
        return super().read_sample()


class SampledAttributes(Attributes):
    """The attributes of some items, which know those of a sample of the catalog.

    Args:
        sample: the attributes of the sample.
    """

    def __init__(self, sample: Attributes) -> None:
        super().__init__()
        self._sample = sample

    def get_all_numbers(self, attribute: str) -> NDArray[np.float64]:
        """Return the numbers of an attribute in the sample, in no particular order."""
        return self._sample.get_all_numbers(attribute)

    def rank_numbers(self, attribute: str) -> NDArray[np.float64]:
        """Return by key the share of the sample's numbers that are smaller than a key's."""
        numbers = self.get_numbers(attribute)
        ordered = np.sort(self.get_all_numbers(attribute))
        below = np.searchsorted(ordered, numbers, "left")
        not_above = np.searchsorted(ordered, numbers, "right")
        shares: NDArray[np.float64] = (below + not_above) / (2 * max(len(ordered), 1))
        shares[np.isnan(numbers)] = 0.0
        return shares
