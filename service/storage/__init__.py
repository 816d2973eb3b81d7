"""The truth: one SQLite database with items, users, vectors and the sequence of writes."""

from service.storage.folder import locked, prepare
from service.storage.store import Store
from service.storage.values import Change, ItemWrite, Passage, PendingItem, Spend

__all__ = ["Change", "ItemWrite", "Passage", "PendingItem", "Spend", "Store", "locked", "prepare"]
