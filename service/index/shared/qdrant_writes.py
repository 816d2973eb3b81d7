"""Writes to a collection of Qdrant. They wait until all live replicas have applied them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from service.domain.items import BEGINNING, Anchor, Change
from service.index.shared.engine_collection import CollectionMark
from service.index.shared.point_attributes import encode_attributes
from service.index.shared.point_fields import HASHES_FIELD, NUMBERS_FIELD
from service.index.shared.points import (
    EXPIRE_TIME_FIELD,
    MARK_ID,
    OWN_VECTORS_FIELD,
    OWNER_FIELD,
    SEQUENCE_FIELD,
    TYPE_FIELD,
    PointType,
    describe_deleted_point,
    describe_first_point,
    describe_further_point,
    list_point_ids,
    make_point_ids,
)
from service.index.shared.qdrant_calls import QdrantCalls
from service.index.shared.qdrant_conditions import (
    MATCH_INDEX,
    RANGE_INDEX,
    match_deleted,
    match_former_vectors,
    match_not_newer,
)

# Points of one write. Converting them takes 5 ms of the event loop with 256 dimensions.
POINTS_PER_WRITE = 128

# Points that are made and written together: 17 MB with 256 dimensions.
POINTS_AT_ONCE = 2_048

# The fields that conditions read, with the types of their indexes.
_INDEXES: dict[str, models.PayloadSchemaType | models.IntegerIndexParams] = {
    HASHES_FIELD: MATCH_INDEX,
    OWNER_FIELD: MATCH_INDEX,
    TYPE_FIELD: MATCH_INDEX,
    SEQUENCE_FIELD: RANGE_INDEX,
    EXPIRE_TIME_FIELD: RANGE_INDEX,
    OWN_VECTORS_FIELD: models.PayloadSchemaType.BOOL,
}

_IDENTITY = "identity"
_TOKEN_FIELD = "token"  # noqa: S105  (of a place in the history of the store)
_ANCHOR_FIELD = "anchor"


class QdrantWrites:
    """The CollectionWrites of a collection.

    Args:
        calls: those of the collection.
    """

    def __init__(self, calls: QdrantCalls) -> None:
        self._calls = calls
        self._client = calls.client

    async def create(self) -> None:
        """Create the collection, without an error if it is there."""
        calls, layout = self._calls, self._calls.layout
        if await calls.wait_for(self._client.collection_exists(calls.name)):
            return
        await calls.wait_for(
            self._client.create_collection(
                calls.name,
                # Vectors of unit length: the dot product is the cosine. Searches map the vectors,
                # so that a collection can be larger than the memory.
                models.VectorParams(
                    size=layout.dimensions, distance=models.Distance.DOT, on_disk=True
                ),
                shard_number=layout.shards,
                replication_factor=layout.replicas,
                on_disk_payload=True,
                metadata={_IDENTITY: layout.identity},
            )
        )
        for field, schema in _INDEXES.items():
            await calls.wait_for(
                self._client.create_payload_index(calls.name, field, schema, wait=True)
            )
        beginning = CollectionMark(0, BEGINNING)
        await self._write([_make_mark(beginning)], beginning.sequence)

    async def drop(self) -> None:
        """Drop the collection, without an error if it is gone."""
        await self._calls.wait_for(self._client.delete_collection(self._calls.name))

    async def read_mark(self) -> CollectionMark | None:
        """Return what the collection may reflect; None if it is lost or another one."""
        calls = self._calls
        if not await calls.wait_for(self._client.collection_exists(calls.name)):
            return None
        info = await calls.wait_for(self._client.get_collection(calls.name))
        if (info.config.metadata or {}).get(_IDENTITY) != calls.layout.identity:
            return None
        marks = await calls.wait_for(self._client.retrieve(calls.name, [MARK_ID]))
        payload = marks[0].payload if marks else None
        if payload is None:
            return None
        anchor = Anchor(payload[_ANCHOR_FIELD], int(payload[_TOKEN_FIELD]))
        return CollectionMark(payload[SEQUENCE_FIELD], anchor)

    async def apply(self, changes: Sequence[Change], mark: CollectionMark) -> None:
        """Apply changes of distinct items that lead up to a mark.

        The mark is written first: whatever is in the collection, its mark is not below it.
        """
        await self._write([_make_mark(mark)], mark.sequence)
        for group in _split(changes):
            # In a thread, because calls are answered in the meantime.
            points = await asyncio.to_thread(_make_all_points, group, mark.sequence)
            await asyncio.gather(
                *(
                    self._write(points[start : start + POINTS_PER_WRITE], mark.sequence)
                    for start in range(0, len(points), POINTS_PER_WRITE)
                )
            )
        if item_ids := [change.item_id for change in changes]:
            await self._delete(match_former_vectors(item_ids, mark.sequence))

    async def forget_deleted(self, before_seconds: int) -> None:
        """Drop what items leave that were deleted before a time, in seconds since 1970 UTC."""
        await self._delete(match_deleted(before_seconds))

    async def _write(self, points: Sequence[models.PointStruct], sequence: int) -> None:
        """Write points, except those that reflect later writes already."""
        await self._calls.wait_for(
            self._client.upsert(
                self._calls.name, points, wait=True, update_filter=match_not_newer(sequence)
            )
        )

    async def _delete(self, filter_: models.Filter) -> None:
        selector = models.FilterSelector(filter=filter_)
        await self._calls.wait_for(self._client.delete(self._calls.name, selector, wait=True))


def _make_mark(mark: CollectionMark) -> models.PointStruct:
    payload = {
        TYPE_FIELD: int(PointType.MARK),
        SEQUENCE_FIELD: mark.sequence,
        _ANCHOR_FIELD: mark.anchor.sequence,
        # Larger than the integers of the engine.
        _TOKEN_FIELD: str(mark.anchor.token),
    }
    return models.PointStruct(id=MARK_ID, vector={}, payload=payload)


def _split(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Yield changes that have at most POINTS_AT_ONCE points together, or a single one."""
    start = count = 0
    for place, change in enumerate(changes):
        size = max(len(change.vectors), 1)
        if count and count + size > POINTS_AT_ONCE:
            yield changes[start:place]
            start, count = place, 0
        count += size
    if count:
        yield changes[start:]


def _make_all_points(changes: Sequence[Change], sequence: int) -> list[models.PointStruct]:
    return [point for change in changes for point in _make_points(change, sequence)]


def _make_points(change: Change, sequence: int) -> Iterator[models.PointStruct]:
    """Yield the points of a changed item, first the one with its attributes."""
    if change.attributes is None:
        (point_id,) = make_point_ids([change.item_id], [0])
        payload = describe_deleted_point(change.item_id, sequence, int(time.time()))
        yield models.PointStruct(id=point_id, vector={}, payload=payload)
        return
    encoded = encode_attributes(json.loads(change.attributes))
    conditions: dict[str, Any] = {HASHES_FIELD: encoded.hashes}
    if encoded.numbers:
        conditions[NUMBERS_FIELD] = encoded.numbers
    first_id, *further_ids = list_point_ids(change)
    vectors = [np.frombuffer(vector, "<f4").tolist() for vector in change.vectors]
    first_payload = describe_first_point(change, sequence) | conditions
    yield models.PointStruct(
        id=first_id, vector=vectors[0] if vectors else {}, payload=first_payload
    )
    for point_id, vector in zip(further_ids, vectors[1:], strict=True):
        payload = describe_further_point(change, sequence) | conditions
        yield models.PointStruct(id=point_id, vector=vector, payload=payload)
