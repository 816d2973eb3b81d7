"""The truth: one SQLite database with items, users, vectors and the sequence of writes."""

from service.storage.folder import locked, prepare
from service.storage.registry import Registry
from service.storage.store import Store
from service.storage.values import (
    CatalogRecord,
    Change,
    ItemWrite,
    Layer,
    LayerRecord,
    LayerState,
    Model,
    Passage,
    PendingItem,
    Spend,
    Written,
)

__all__ = [
    "CatalogRecord",
    "Change",
    "ItemWrite",
    "Layer",
    "LayerRecord",
    "LayerState",
    "Model",
    "Passage",
    "PendingItem",
    "Registry",
    "Spend",
    "Store",
    "Written",
    "locked",
    "prepare",
]
