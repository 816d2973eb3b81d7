"""Reads of a collection of Qdrant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from qdrant_client import models

from service import errors
from service.domain.filters import Filter
from service.domain.items import Change
from service.domain.vectors import Vectors
from service.index.read_requests import Restriction
from service.index.shared.engine_collection import FoundPoint, FoundPoints
from service.index.shared.point_filters import list_range_fields
from service.index.shared.points import (
    ATTRIBUTES_FIELD,
    COUNT_FIELD,
    EXPIRE_TIME_FIELD,
    ID_FIELD,
    OWN_VECTORS_FIELD,
    SEQUENCE_FIELD,
    TYPE_FIELD,
    PointType,
    make_point_ids,
    read_change,
)
from service.index.shared.qdrant_calls import QdrantCalls
from service.index.shared.qdrant_conditions import (
    RANGE_INDEX,
    match_first_points,
    match_items,
    match_restriction,
    match_types,
)

# Vectors that a search compares with beside those on its way, without and with a filter. At a
# million items, recall@10 is 0.992. With a filter that keeps half of them, it is 0.975 with 128,
# 0.979 with 192, and 0.98 or more with 256.
SEARCH_BREADTH = 128
FILTERED_SEARCH_BREADTH = 256

# Searches go on across vectors that do not match, if a filter keeps at most this share (ACORN-1:
# Patel et al., 2024). At a million items and 5 to 30%, recall@10 is then 1.0 instead of 0.64 to
# 0.93, and a search takes 50 ms instead of 20.
_ACROSS_OTHERS = models.AcornSearchParams(enable=True, max_selectivity=0.45)

# Hits that one call of a search brings, if it has several queries. They are converted on the event
# loop: 60 ms.
HITS_PER_CALL = 2_048

# Points that are read at once.
POINTS_PER_PAGE = 1_000

# The same with vectors, which are converted on the event loop: 20 ms with 256 dimensions.
VECTORS_PER_PAGE = 250

# What of a payload makes an item; filters need the rest.
_ITEM_FIELDS = [
    ID_FIELD,
    ATTRIBUTES_FIELD,
    COUNT_FIELD,
    EXPIRE_TIME_FIELD,
    OWN_VECTORS_FIELD,
    SEQUENCE_FIELD,
    TYPE_FIELD,
]

_STORED_TYPES = (PointType.FIRST, PointType.PENDING)


class QdrantReads:
    """The CollectionReads of a collection.

    Args:
        calls: those of the collection.
    """

    def __init__(self, calls: QdrantCalls) -> None:
        self._calls = calls
        self._client = calls.client
        self._range_fields: set[str] = set()

    async def fetch(self, item_ids: Sequence[str]) -> list[Change]:
        """Return those items that are there, pending ones included."""
        return await self._complete(await self._fetch_points(item_ids, [0] * len(item_ids)))

    async def fetch_allowed(
        self, item_ids: Sequence[str], restriction: Restriction
    ) -> list[Change]:
        """Return those items that are there, are searchable, and that a restriction allows."""
        await self._index_ranges(restriction.filter)
        allowed = match_restriction(restriction)
        filter_ = models.Filter(
            must=[
                match_first_points(item_ids),
                match_items(None, searchable=True),
                *([] if allowed is None else [allowed]),
            ]
        )
        pages = self._scroll(filter_, len(item_ids), _ITEM_FIELDS, with_vectors=True)
        return await self._complete([point async for page in pages for point in page])

    async def search(
        self,
        queries: Vectors,
        limit: int,
        restriction: Restriction,
        *,
        exact: bool,
        with_items: bool,
    ) -> FoundPoints:
        """Return the `limit` nearest points to each query: see CollectionReads."""
        await self._index_ranges(restriction.filter)
        filter_ = match_restriction(restriction)
        is_filtered = restriction.filter is not None
        breadth = FILTERED_SEARCH_BREADTH if is_filtered else SEARCH_BREADTH
        parameters = models.SearchParams(
            hnsw_ef=max(breadth, limit),
            exact=exact,
            acorn=_ACROSS_OTHERS if is_filtered else None,
        )
        requests = [
            models.QueryRequest(
                query=query,
                filter=filter_,
                params=parameters,
                limit=limit,
                with_payload=_ITEM_FIELDS if with_items else False,
                with_vector=with_items,
            )
            for query in queries.tolist()
        ]
        # One after the other: those that come at once are converted without a pause.
        step, responses = max(HITS_PER_CALL // limit, 1), list[models.QueryResponse]()
        for start in range(0, len(requests), step):
            batch = requests[start : start + step]
            responses += await self._calls.wait_for(
                self._client.query_batch_points(self._calls.name, batch)
            )
        items = {
            str(point.id): change
            for response in responses
            for point in response.points
            if with_items and (change := _read_single(point)) is not None
        }
        hits = [
            [FoundPoint(str(point.id), point.score) for point in response.points]
            for response in responses
        ]
        return FoundPoints(hits, items)

    async def fetch_points(self, point_ids: Sequence[str]) -> Mapping[str, Change]:
        """Return the items of those points that are there, by the ids of the points."""
        points = await self._retrieve(point_ids, _ITEM_FIELDS, with_vectors=True)
        items: dict[str, Change] = {}
        owners: dict[str, str] = {}
        for point in points:
            change = _read_single(point)
            if change is None:
                owners[str(point.id)] = _get_payload(point)[ID_FIELD]
            else:
                items[str(point.id)] = change
        whole = {change.item_id: change for change in await self.fetch([*{*owners.values()}])}
        return items | {
            point_id: whole[item_id] for point_id, item_id in owners.items() if item_id in whole
        }

    async def count(
        self,
        filter_: Filter | None,
        *,
        searchable: bool,
        exclude_ids: Collection[str] = (),
        now_us: int = 0,
    ) -> int:
        """Return the number of items that match a filter, with or without pending ones."""
        await self._index_ranges(filter_)
        counted_items = match_items(
            filter_, searchable=searchable, exclude_ids=exclude_ids, now_us=now_us
        )
        counted = await self._calls.wait_for(
            self._client.count(self._calls.name, counted_items, exact=True)
        )
        return counted.count

    async def list_ids(
        self, filter_: Filter | None, limit: int, *, searchable: bool, now_us: int = 0
    ) -> list[str]:
        """Return the ids of up to `limit` items that `count` counts, in the order of hashes."""
        await self._index_ranges(filter_)
        listed_items = match_items(filter_, searchable=searchable, now_us=now_us)
        pages = self._scroll(listed_items, limit, [ID_FIELD])
        return [_get_payload(point)[ID_FIELD] async for page in pages for point in page]

    async def read_first_vectors(self, limit: int) -> tuple[list[str], Vectors]:
        """Return the first `limit` vectors in the order of hashes, each with the id of its item."""
        with_vectors = models.Filter(must=[match_types(PointType.FIRST, PointType.FURTHER)])
        item_ids: list[str] = []
        # As numbers of Python, the vectors of all pages would take eight times the memory.
        blocks = [np.empty((0, self._calls.layout.dimensions), np.float32)]
        async for page in self._scroll(with_vectors, limit, [ID_FIELD], with_vectors=True):
            item_ids += [_get_payload(point)[ID_FIELD] for point in page]
            if page:
                blocks.append(np.array([point.vector for point in page], np.float32))
        return item_ids, np.concatenate(blocks)

    async def fetch_attributes(self, item_ids: Sequence[str]) -> list[str]:
        """Return the attributes of items as JSON, in no particular order."""
        points = await self._fetch_points(
            item_ids, [0] * len(item_ids), [TYPE_FIELD, ATTRIBUTES_FIELD], with_vectors=False
        )
        return [
            payload[ATTRIBUTES_FIELD]
            for payload in map(_get_payload, points)
            if payload[TYPE_FIELD] in _STORED_TYPES
        ]

    async def _complete(self, first_points: Iterable[models.Record]) -> list[Change]:
        """Return the items of first points, with the vectors of their further points.

        Further points of another state than the first one are left out: they are of a write that
        is under way.
        """
        first = [
            point for point in first_points if _get_payload(point)[TYPE_FIELD] in _STORED_TYPES
        ]
        item_ids: list[str] = []
        positions: list[int] = []
        for payload in map(_get_payload, first):
            further_count = payload.get(COUNT_FIELD, 1) - 1
            item_ids += [payload[ID_FIELD]] * further_count
            positions += range(1, further_count + 1)
        further_vectors: dict[tuple[str, int], list[bytes]] = {}
        if item_ids:
            for point in await self._fetch_points(item_ids, positions, [ID_FIELD, SEQUENCE_FIELD]):
                payload = _get_payload(point)
                state = payload[ID_FIELD], payload[SEQUENCE_FIELD]
                further_vectors.setdefault(state, []).append(_get_vector(point))
        changes = []
        for point in first:
            payload = _get_payload(point)
            state = payload[ID_FIELD], payload[SEQUENCE_FIELD]
            is_pending = payload[TYPE_FIELD] == PointType.PENDING
            vectors = [] if is_pending else [_get_vector(point), *further_vectors.get(state, [])]
            changes.append(read_change(payload, vectors))
        return changes

    async def _fetch_points(
        self,
        item_ids: Sequence[str],
        positions: Sequence[int],
        fields: list[str] = _ITEM_FIELDS,
        *,
        with_vectors: bool = True,
    ) -> list[models.Record]:
        """Return those points of items that exist: for each item the one at the position beside."""
        point_ids = make_point_ids(item_ids, positions)
        return await self._retrieve(point_ids, fields, with_vectors=with_vectors)

    async def _retrieve(
        self, point_ids: Sequence[str], fields: list[str], *, with_vectors: bool
    ) -> list[models.Record]:
        """Return those points that exist, in the order of their ids in `point_ids`."""
        records: list[models.Record] = []
        page_size = VECTORS_PER_PAGE if with_vectors else POINTS_PER_PAGE
        for start in range(0, len(point_ids), page_size):
            records += await self._calls.wait_for(
                self._client.retrieve(
                    self._calls.name,
                    point_ids[start : start + page_size],
                    with_payload=fields,
                    with_vectors=with_vectors,
                )
            )
        # The engine returns those of each of its parts together.
        places = {point_id: place for place, point_id in enumerate(point_ids)}
        records.sort(key=lambda record: places[str(record.id)])
        return records

    async def _scroll(
        self, filter_: models.Filter, limit: int, fields: list[str], *, with_vectors: bool = False
    ) -> AsyncIterator[list[models.Record]]:
        """Yield pages of the first `limit` points that match, in the order of their ids."""
        offset: Any = None
        page_size = VECTORS_PER_PAGE if with_vectors else POINTS_PER_PAGE
        remaining = limit
        while remaining > 0:
            page, offset = await self._calls.wait_for(
                self._client.scroll(
                    self._calls.name,
                    filter_,
                    min(remaining, page_size),
                    offset=offset,
                    with_payload=fields,
                    with_vectors=with_vectors,
                )
            )
            yield page
            remaining -= len(page)
            if offset is None:
                return

    async def _index_ranges(self, filter_: Filter | None) -> None:
        """Index the numbers that a filter reads, when it is the first to read them.

        The engine indexes them in the background. Filters are exact from the beginning, but slow.
        """
        if filter_ is None:
            return
        for field in list_range_fields(filter_) - self._range_fields:
            # It cannot while most of its machines are away; reads can.
            with suppress(errors.IndexUnavailable):
                await self._calls.wait_for(
                    self._client.create_payload_index(
                        self._calls.name, field, RANGE_INDEX, wait=False
                    )
                )
                self._range_fields.add(field)


def _read_single(point: models.Record | models.ScoredPoint) -> Change | None:
    """Return the item of a point; None if it has several vectors, or is none."""
    payload = _get_payload(point)
    if payload[TYPE_FIELD] != PointType.FIRST or COUNT_FIELD in payload:
        return None
    return read_change(payload, [_get_vector(point)])


def _get_payload(point: models.Record | models.ScoredPoint) -> dict[str, Any]:
    assert point.payload is not None  # noqa: S101  (every read asks for it)
    return point.payload


def _get_vector(point: models.Record | models.ScoredPoint) -> bytes:
    return np.array(point.vector, "<f4").tobytes()
