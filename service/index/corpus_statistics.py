"""What scoring has to know of all vectors of a catalog."""

from __future__ import annotations

from typing import NamedTuple

from service.domain.vectors import Vectors


class CorpusStatistics(NamedTuple):
    """The number of a catalog's searchable items, and the mean and a sample of their vectors."""

    item_count: int
    mean: Vectors  # [dimensions]
    sample: Vectors  # [up to CORPUS_SAMPLE_VECTORS, dimensions]
