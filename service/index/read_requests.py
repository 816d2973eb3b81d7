"""What a read needs of an index that is not in memory: it asks for it before its work runs.

A plan is a generator. It yields requests, and after each of them the items that it asks for are in
the item index that it was called with. So it can look at them before it yields the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from service.domain.filters import Filter
from service.domain.vectors import Vectors
from service.index.item_index import ItemIndex


@dataclass(frozen=True, slots=True)
class Restriction:
    """Which items a request may bring.

    Attributes:
        filter: what they must match.
        exclude_ids: items to leave out.
        excluded_attribute: the attribute that `excluded_values` are values of.
        excluded_values: hashes of values, as `Attributes.get_values` returns them, of which items
            must have none.
        text_vectors_only: whether to leave out items whose callers gave the vectors.
    """

    filter: Filter | None = None
    exclude_ids: Collection[str] = ()
    excluded_attribute: str = ""
    excluded_values: Collection[int] = ()
    text_vectors_only: bool = False


NO_RESTRICTION = Restriction()

# Items whose vectors one request brings: 6 MB with 256 dimensions.
MAX_NEAREST_ITEMS = 4_096


@dataclass(frozen=True, slots=True)
class ItemsRequest:
    """Asks for items by their ids, as far as they exist."""

    item_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class NearestRequest:
    """Asks for the `limit` items nearest to each query: float32 [queries, dimensions].

    With `exact`, the queries are compared with every vector. Of more than `max_items` in all, those
    come that are nearest to the queries together.
    """

    queries: Vectors
    limit: int
    restriction: Restriction = NO_RESTRICTION
    exact: bool = False
    max_items: int = MAX_NEAREST_ITEMS


@dataclass(frozen=True, slots=True)
class RankedRequest:
    """Asks for the first `limit` of ranked items, best first, that exist and are not restricted."""

    item_ids: Iterable[str]
    limit: int
    restriction: Restriction = NO_RESTRICTION


ReadRequest: TypeAlias = ItemsRequest | NearestRequest | RankedRequest

# Returns the requests of a read, given the item index that receives the items.
ReadPlan: TypeAlias = Callable[[ItemIndex], Iterator[ReadRequest]]


def plan_nothing(_item_index: ItemIndex) -> Iterator[ReadRequest]:
    """Plan a read that needs no items."""
    return iter(())


def plan_items(item_ids: Collection[str]) -> ReadPlan:
    """Return the plan of a read that needs items by their ids."""
    return lambda _item_index: iter((ItemsRequest(item_ids),))


def plan_nearest(request: NearestRequest) -> ReadPlan:
    """Return the plan of a read that needs the items nearest to some vectors."""
    return lambda _item_index: iter((request,))
