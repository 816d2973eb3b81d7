"""The kinds of index as commands name them."""

from __future__ import annotations

from typing import Literal

import akin

IndexName = Literal["memory", "shared"]

INDEX_KINDS: dict[IndexName, akin.IndexKind.ValueType] = {
    "memory": akin.IndexKind.INDEX_KIND_MEMORY,
    "shared": akin.IndexKind.INDEX_KIND_SHARED,
}
_NAMES = {kind: name for name, kind in INDEX_KINDS.items()}


def name_index(catalog: akin.Catalog) -> IndexName:
    """Return the name of the index that serves; an older server has all of them in memory."""
    return _NAMES.get(catalog.index_kind, "memory")


def describe_index(catalog: akin.Catalog) -> str:
    """Return the index of a catalog, and how far a change or a build is."""
    description: str = name_index(catalog)
    if catalog.next_index_kind:
        description += f", changing to {_NAMES[catalog.next_index_kind]}"
    if catalog.index_progress:
        description += f", {catalog.index_progress:.0%} built"
    return description
