"""The ids of a model's items: between numbers and ids, in 30 bytes an item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.id_hashes import hash_ids
from service.recommend.collaborative.histories import Items
from service.recommend.collaborative.model_arrays import check_offsets, check_range

NO_ITEM = -1


class ItemIds:
    """The ids of the items with the numbers 0, 1, ...

    A dictionary of a million ids takes 150 MB in each process. Sorted hashes take a fifth.

    Args:
        arrays: as `to_arrays` returns them.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not belong together.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._text = arrays["ids"].tobytes()
        self._offsets = arrays["id_offsets"]
        self._hashes = arrays["id_hashes"]
        self._numbers = arrays["id_numbers"]
        check_offsets(self._offsets, len(self._numbers), len(self._text))
        check_range(self._numbers, len(self._numbers))
        if len(self._hashes) != len(self._numbers):
            raise ValueError("there must be a hash for each item id")

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._offsets) - 1

    def list_all(self) -> list[str]:
        """Return all ids in the order of their numbers."""
        return [self.get(number) for number in range(len(self))]

    def get(self, number: int) -> str:
        """Return the id of an item."""
        return self._text[self._offsets[number] : self._offsets[number + 1]].decode()

    def find(self, item_ids: Iterable[str]) -> Items:
        """Return the numbers of items, NO_ITEM for an unknown id: int32 [ids]."""
        encoded = [item_id.encode() for item_id in item_ids]
        hashes = hash_ids(encoded)
        starts = np.searchsorted(self._hashes, hashes).tolist()
        return np.array(
            [
                self._find(item_id, int(value), start)
                for item_id, value, start in zip(encoded, hashes, starts, strict=True)
            ],
            np.int32,
        )

    def _find(self, item_id: bytes, value: int, place: int) -> int:
        """Return the number of an id whose hash is at this place of the sorted ones, if anywhere.

        Different ids can have the same hash.
        """
        while place < len(self._hashes) and self._hashes[place] == value:
            number = int(self._numbers[place])
            if self._text[self._offsets[number] : self._offsets[number + 1]] == item_id:
                return number
            place += 1
        return NO_ITEM


def to_arrays(item_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return what `ItemIds` needs for these ids."""
    encoded = [item_id.encode() for item_id in item_ids]
    hashes = hash_ids(encoded)
    order = np.argsort(hashes, kind="stable")
    lengths = np.array([0, *map(len, encoded)], np.int64)
    return {
        "ids": np.frombuffer(b"".join(encoded), np.uint8),
        "id_offsets": np.cumsum(lengths),
        "id_hashes": hashes[order],
        "id_numbers": order.astype(np.int32),
    }
