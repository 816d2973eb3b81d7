"""What the store records of the shared index of a generation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.items import Anchor


class SharedIndexState(StrEnum):
    """Whether a shared index has all changes up to the target of its build."""

    BUILDING = "building"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class SharedIndexRecord:
    """The shared index of a generation, which is a collection of a vector database.

    Attributes:
        generation_id: the generation, which may be removed already.
        version: the number of the collection, which grows with each build.
        state: a ready index can serve.
        reached: the collection has all changes up to this sequence number.
        anchor: the place in the store's history at `reached`.
        target: the sequence number at which a build is ready.
        item_count: the number of items in the collection that can be found.
        dropped_us: the time in microseconds since 1970 UTC, by the clock that all processes share,
            at which the index was marked as unused; None while it is in use.
    """

    generation_id: int
    version: int
    state: SharedIndexState
    reached: int
    anchor: Anchor
    target: int
    item_count: int
    dropped_us: int | None

    @property
    def progress(self) -> float:
        """How much of the index is built, between 0 and 1."""
        if self.state is SharedIndexState.READY:
            return 1.0
        return min(self.reached / self.target, 1.0) if self.target else 0.0
