"""Waits until a write shows in all generations of a catalog that serve or soon will."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.index.index_reader import IndexReader


@dataclass(slots=True)
class WriteBarrier:
    """Waits until a write shows in every generation that serves, or may at any moment.

    It is the only part of a catalog that changes while calls use it: a write that began before a
    switch must show in the generation that serves after it.
    """

    readers: tuple[IndexReader, ...] = field(default=())

    async def wait_for(self, sequence: int) -> None:
        """Wait until every reader has applied a write.

        Raises:
            NotReady: the service shuts down first.
            StoreUnavailable: the store has lost the write.
        """
        while lagging := [item for item in self.readers if item.sequence < sequence]:
            await lagging[0].wait_for(sequence)
