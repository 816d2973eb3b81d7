"""Points: what stands for the items of a catalog in a collection of the engine.

Each vector of an item is a point. The first one has the item's attributes, and a pending item has
one point without a vector. A deleted item leaves a point without a vector as well, for some time:
a write of an earlier state that arrives late must not bring the item back.

The id of a point begins with the hash by which the sample of a catalog is chosen (see
`corpus_sample`), so that the first points in the order of ids are that sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Any
from uuid import UUID

import numpy as np

from service.domain.id_hashes import hash_ids
from service.domain.items import Change
from service.index.corpus_sample import hash_vectors

ID_FIELD = "i"
ATTRIBUTES_FIELD = "a"
EXPIRE_TIME_FIELD = "e"
OWN_VECTORS_FIELD = "o"
TYPE_FIELD = "t"

# The number of an item's vectors, in each of its points if there are several.
COUNT_FIELD = "m"

# The sequence number of the store that a point reflects.
SEQUENCE_FIELD = "s"

# A hash of the item's id, in each of its points if there are several.
OWNER_FIELD = "k"

# When a deleted item was noted, in seconds since 1970 UTC.
DELETE_TIME_FIELD = "d"

# Half of the 128 bits of a point's id.
_ID_HALF_BYTES = 8


class PointType(IntEnum):
    """What a point is: the first vector of an item, a further one, or none at all."""

    FIRST = 0
    FURTHER = 1
    PENDING = 2
    DELETED = 3
    MARK = 4


# The id of the point that says up to where a collection follows the store.
MARK_ID = str(UUID(int=2**128 - 1))


def make_point_ids(item_ids: Sequence[str], positions: Sequence[int]) -> list[str]:
    """Return the ids of points: for each item id, that of the vector at the position beside it."""
    encoded = [item_id.encode() for item_id in item_ids]
    order = hash_vectors(hash_ids(encoded), np.asarray(positions, np.int64))
    return [
        str(UUID(bytes=first.to_bytes(_ID_HALF_BYTES) + _hash_point(item_id, position)))
        for first, item_id, position in zip(order.tolist(), encoded, positions, strict=True)
    ]


def list_point_ids(change: Change) -> list[str]:
    """Return the ids of the points of an item."""
    count = max(len(change.vectors), 1)
    return make_point_ids([change.item_id] * count, range(count))


def hash_owner(item_id: str) -> int:
    """Return the hash of an item id that all points of the item have, a signed 64-bit integer."""
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest(), signed=True)


def describe_first_point(change: Change, sequence: int) -> dict[str, Any]:
    """Return the payload of the first point of an item, without what filters need."""
    payload = _describe_point(change, sequence)
    payload[TYPE_FIELD] = int(PointType.FIRST if change.vectors else PointType.PENDING)
    payload[ATTRIBUTES_FIELD] = change.attributes
    return payload


def describe_further_point(change: Change, sequence: int) -> dict[str, Any]:
    """Return the payload of a further point of an item, without what filters need."""
    payload = _describe_point(change, sequence)
    payload[TYPE_FIELD] = int(PointType.FURTHER)
    return payload


def describe_deleted_point(item_id: str, sequence: int, seconds: int) -> dict[str, Any]:
    """Return the payload of the point that a deleted item leaves.

    Args:
        item_id: the item.
        sequence: the sequence number that the deletion reflects.
        seconds: the present time since 1970 UTC.
    """
    return {
        ID_FIELD: item_id,
        TYPE_FIELD: int(PointType.DELETED),
        SEQUENCE_FIELD: sequence,
        DELETE_TIME_FIELD: seconds,
    }


def read_change(payload: Mapping[str, Any], vectors: Sequence[bytes]) -> Change:
    """Return an item as a change, given the payload of its first point and all its vectors."""
    return Change(
        payload[ID_FIELD],
        payload[ATTRIBUTES_FIELD],
        tuple(vectors),
        payload.get(EXPIRE_TIME_FIELD),
        has_own_vectors=payload.get(OWN_VECTORS_FIELD, False),
    )


def _describe_point(change: Change, sequence: int) -> dict[str, Any]:
    payload: dict[str, Any] = {ID_FIELD: change.item_id, SEQUENCE_FIELD: sequence}
    if len(change.vectors) > 1:
        payload[COUNT_FIELD] = len(change.vectors)
        payload[OWNER_FIELD] = hash_owner(change.item_id)
    if change.expire_time_us is not None:
        payload[EXPIRE_TIME_FIELD] = change.expire_time_us
    if change.has_own_vectors:
        payload[OWN_VECTORS_FIELD] = True
    return payload


def _hash_point(item_id: bytes, position: int) -> bytes:
    salt = position.to_bytes(_ID_HALF_BYTES)
    return blake2b(item_id, digest_size=_ID_HALF_BYTES, salt=salt).digest()
