"""Item indexes without a store, and builds without a background thread."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.items import Change
from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.threads import IndexThreads
from service.index.vector_index import VectorMaintenance
from support.clock import FakeClock

INDEX_THREADS = IndexThreads()
"""The threads of all indexes of a test process."""


def run_builds(index: VectorMaintenance) -> None:
    """Run builds until an index needs none."""
    while (build := index.start_build(quiet=True)) is not None:
        build.run()
        index.finish_build(build)


def create_item_index(vectors: Mapping[str, Vectors]) -> ItemIndex:
    """Return an item index of unit vectors by item id, whose keys are 0, 1, 2 and so on."""
    dimensions = len(next(iter(vectors.values())))
    item_index = ItemIndex(ExactIndex(dimensions), FakeClock())
    changes = [
        Change(item_id, "{}", (vector.tobytes(),), None) for item_id, vector in vectors.items()
    ]
    item_index.apply(changes, len(changes))
    return item_index


async def fail_to_open() -> ItemIndex:
    """Stand for the item index of a follower whose store loses nothing.

    Raises:
        AssertionError: always.
    """
    raise AssertionError("the store has lost no commits")
