"""The truth: one SQLite database with items, users, vectors and the sequence of writes."""

from service.storage.folder import locked, prepare
from service.storage.registry import Registry
from service.storage.store import Store

__all__ = ["Registry", "Store", "locked", "prepare"]
