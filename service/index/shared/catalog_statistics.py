"""The statistics of a catalog that the writer of its shared index keeps for all replicas.

All replicas score with the same statistics, which change only with their version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np

from service.domain.vectors import Vectors
from service.index.attributes import Attributes
from service.index.corpus_statistics import CorpusStatistics

# The vectors that the mean is computed from: those of the whole catalog, if it has no more. The
# mean of that many has an error of 0.4% of a component's standard deviation.
MEAN_VECTORS = 65_536


class CatalogStatistics(NamedTuple):
    """The statistics of vectors, and the attributes of the items that the sample is of."""

    corpus: CorpusStatistics
    attributes: Attributes

    @classmethod
    def empty(cls, dimensions: int) -> Self:
        """Return the statistics of a catalog without items.

        Their sample has one vector, without a direction: scores with an empty one are no numbers.
        """
        mean = np.zeros(dimensions, np.float32)
        sample = np.zeros((1, dimensions), np.float32)
        return cls(CorpusStatistics(0, mean, sample), Attributes())

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Return statistics from what `encode_statistics` returned.

        Raises:
            KeyError, ValueError: they are damaged.
        """
        try:
            with np.load(BytesIO(encoded), allow_pickle=False) as arrays:
                corpus = CorpusStatistics(
                    int(arrays["item_count"]), arrays["mean"], arrays["sample"]
                )
                values = json.loads(arrays["attributes"].tobytes())
        except (BadZipFile, EOFError) as exc:
            raise ValueError("the statistics are damaged") from exc
        attributes = Attributes()
        attributes.upsert(range(len(values)), values)
        return cls(corpus, attributes)


def encode_statistics(
    item_count: int, mean: Vectors, sample: Vectors, attributes: Sequence[str]
) -> bytes:
    """Return statistics as bytes.

    Args:
        item_count: the number of searchable items.
        mean: of all vectors, float32 [dimensions].
        sample: vectors that represent the catalog, float32 [sample, dimensions].
        attributes: those of the items that the sample is of, as JSON.
    """
    encoded = BytesIO()
    np.savez(
        encoded,
        item_count=np.int64(item_count),
        mean=mean,
        sample=sample,
        attributes=np.frombuffer(f"[{','.join(attributes)}]".encode(), np.uint8),
    )
    return encoded.getvalue()
