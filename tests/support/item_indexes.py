"""Views filled without a store."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.items import Change
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.vector_index import Vectors
from support.clock import FakeClock


def view_of(vectors: Mapping[str, Vectors]) -> ItemIndex:
    """An item index of unit vectors by item id; the keys are 0, 1, 2 and so on, in that order."""
    dimensions = len(next(iter(vectors.values())))
    item_index = ItemIndex(ExactIndex(dimensions), FakeClock())
    changes = [
        Change(item_id, "{}", (vector.tobytes(),), None) for item_id, vector in vectors.items()
    ]
    item_index.apply(changes, len(changes))
    return item_index
