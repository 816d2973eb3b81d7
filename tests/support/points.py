"""Compares filters over points of an engine with those over columns in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

import numpy as np
from qdrant_client import QdrantClient, models

from service.domain.filters import Filter
from service.domain.items import JsonValue
from service.domain.vectors import Mask
from service.index.attributes import Attributes
from service.index.shared.point_attributes import encode_attributes
from service.index.shared.point_fields import HASHES_FIELD, NUMBERS_FIELD
from service.index.shared.point_filters import exclude_values, list_range_fields, translate_filter
from support.filters import random_colliding_attributes, random_filter

_COLLECTION = "filters"
_PATHS = ("a", "b", "a.b", "é", "", "never")

# Keys have gaps, so that some are of no item.
_KEY_STEP = 3


class ComparedPoints:
    """The same attributes as points of an engine and as columns; the client is the caller's."""

    def __init__(self, client: QdrantClient, attributes: Sequence[Mapping[str, JsonValue]]) -> None:
        self.columns = Attributes()
        self.keys = [_KEY_STEP * number + 1 for number in range(len(attributes))]
        self.columns.upsert(self.keys, attributes)
        self._client = client
        self._range_fields: set[str] = set()
        client.delete_collection(_COLLECTION)
        client.create_collection(_COLLECTION, vectors_config={})
        self._create_index(HASHES_FIELD, for_ranges=False)
        points = [
            models.PointStruct(id=key, vector={}, payload=create_payload(values))
            for key, values in zip(self.keys, attributes, strict=True)
        ]
        client.upsert(_COLLECTION, points, wait=True)

    def find_keys(self, filter_: Filter) -> list[int]:
        """Return the keys of the points that pass, which are those that pass in columns."""
        for field in list_range_fields(filter_) - self._range_fields:
            self._create_index(field, for_ranges=True)
            self._range_fields.add(field)
        keys = self._scroll(translate_filter(filter_))
        assert list_keys(self.columns.compute_mask(filter_)) == keys, filter_
        return keys

    def find_keys_with_values(self, attribute: str, hashes: Collection[int]) -> list[int]:
        """Return the keys of the points with one of these values, in columns and as points."""
        keys = self._scroll(models.Filter(must=[exclude_values(attribute, hashes)]))
        assert list_keys(self.columns.compute_value_mask(attribute, hashes)) == keys
        return keys

    def _create_index(self, field: str, *, for_ranges: bool) -> None:
        params = models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=not for_ranges, range=for_ranges
        )
        self._client.create_payload_index(_COLLECTION, field, params, wait=True)

    def _scroll(self, filter_: models.Filter) -> list[int]:
        points, _ = self._client.scroll(
            _COLLECTION, filter_, limit=len(self.keys) + 1, with_payload=False
        )
        return sorted(int(point.id) for point in points)


def compare_random_filters(client: QdrantClient, random: Random) -> None:
    """Check that random filters pass the same of some random items as points and in columns."""
    points = ComparedPoints(client, [random_colliding_attributes(random) for _ in range(40)])
    for _ in range(100):
        points.find_keys(random_filter(random))
    for path in _PATHS:
        values = points.columns.get_values(path, np.array(random.sample(points.keys, 3)))
        points.find_keys_with_values(path, frozenset().union(*values))


def create_payload(attributes: Mapping[str, JsonValue]) -> dict[str, object]:
    """Return the payload of a point: its numbers are left out if there are none."""
    encoded = encode_attributes(attributes)
    numbers = {NUMBERS_FIELD: encoded.numbers} if encoded.numbers else {}
    return {HASHES_FIELD: encoded.hashes, **numbers}


def list_keys(mask: Mask) -> list[int]:
    """Return the keys that pass."""
    return list(map(int, np.flatnonzero(mask)))
