"""The kinds of index that can serve a catalog."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class IndexKind(Enum):
    """Where the vectors of a catalog are searched.

    MEMORY: in an index that each process keeps in its memory.
    SHARED: in a collection of a vector database, which one process fills for all.
    """

    MEMORY = "memory"
    SHARED = "shared"


class IndexKinds(NamedTuple):
    """The index of a catalog, and the one that it changes to; None most of the time."""

    present: IndexKind
    next: IndexKind | None
