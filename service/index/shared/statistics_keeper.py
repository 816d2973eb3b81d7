"""Keeps the statistics of a catalog current in the store, from what is in its collection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from service.domain.generations import Generation
from service.domain.vectors import Vectors
from service.index.corpus_sample import CORPUS_SAMPLE_VECTORS
from service.index.shared.catalog_statistics import MEAN_VECTORS, encode_statistics
from service.index.shared.engine_collection import CollectionReads
from service.index.shared.shared_index_store import SharedIndexRecords

# The pause between two refreshes, at least and in multiples of the time that the last one took.
REFRESH_PAUSE_SECONDS = 1.0
REFRESH_PAUSE_FACTOR = 20


class StatisticsKeeper:
    """Computes the statistics of one catalog again after its items have changed.

    Args:
        records: where they are stored.
        generation: the generation.
    """

    def __init__(self, records: SharedIndexRecords, generation: Generation) -> None:
        self._records = records
        self._generation = generation
        self._is_current = False
        self._due_time = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self.item_count = 0

    def note_changes(self) -> None:
        """Note that items have changed."""
        self._is_current = False

    @property
    def seconds_until_due(self) -> float | None:
        """The time until the next refresh; None if none is needed, or if one runs."""
        is_running = self._refreshing is not None and not self._refreshing.done()
        if self._is_current or is_running:
            return None
        return max(self._due_time - time.monotonic(), 0.0)

    def refresh_if_due(self, reads: CollectionReads) -> None:
        """Start a refresh in the background if one is due.

        Raises:
            IndexUnavailable, StoreUnavailable: the last one has failed.
        """
        if self._refreshing is not None and self._refreshing.done():
            refreshing, self._refreshing = self._refreshing, None
            refreshing.result()
        if self.seconds_until_due == 0.0:
            self._refreshing = asyncio.create_task(self.refresh(reads))

    async def stop(self) -> None:
        """End a refresh that runs."""
        refreshing, self._refreshing = self._refreshing, None
        if refreshing is not None:
            refreshing.cancel()
            await asyncio.wait({refreshing})

    async def refresh(self, reads: CollectionReads) -> None:
        """Compute and store the statistics.

        Raises:
            IndexUnavailable: the engine cannot be used now.
            StoreUnavailable: they cannot be stored.
        """
        started = time.monotonic()
        self._is_current = True
        try:
            self.item_count = await reads.count(None, searchable=True)
            ids, vectors = await reads.read_first_vectors(MEAN_VECTORS)
            sampled_ids = list(dict.fromkeys(ids[:CORPUS_SAMPLE_VECTORS]))
            attributes = await reads.fetch_attributes(sampled_ids)
            encoded = await asyncio.to_thread(_encode, self.item_count, vectors, attributes)
            await self._records.write_statistics(self._generation, encoded)
        except BaseException:
            self._is_current = False
            raise
        finally:
            seconds = time.monotonic() - started
            pause = max(REFRESH_PAUSE_SECONDS, REFRESH_PAUSE_FACTOR * seconds)
            self._due_time = time.monotonic() + pause


def _encode(item_count: int, vectors: Vectors, attributes: Sequence[str]) -> bytes:
    """Return the statistics of a catalog, given its first vectors."""
    mean = vectors.mean(axis=0, dtype=np.float64) if len(vectors) else vectors.sum(axis=0)
    sample = vectors[:CORPUS_SAMPLE_VECTORS]
    return encode_statistics(item_count, mean.astype(np.float32), sample, attributes)
