"""Short codes of vectors, to find with them what is worth comparing in full.

Product quantisation with 4 bits for each two dimensions, whose tables fit into processor registers
("fast scan": André, Kermarrec, Le Scouarnec, 2015; FAISS): a sixteenth of the vectors' bytes, read
in order. Rows are kept in lists by the nearest of some centers, and the nearest lists are read
until enough rows that may be found were seen. Codes of RaBitQ, tried too, take less memory, and two
to three times as long under a filter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.faiss_scan import Matrix
from service.index.planner import enough
from service.index.vector_index import Keys, Mask, Vectors

ROWS_PER_LIST = 500
LISTS = 1_024
TRAINED_ON_PER_LIST = 40
TRAINED_ON = 5_000
"""Vectors that codebooks are made from, at least: 20,000 gave no better recall."""

ADDED_AT_ONCE = 16_384
BITS = 4
CODEBOOK = 2**BITS

NEAR_SHARE = 0.05
FAR = 0.8
"""Where less than this part of the filter's share passes among the nearest lists, the query is far
from what may be found, the order of lists means little, and all that have any are read."""


class Codes:
    """The codes of rows of vectors, which are numbered from 0."""

    def __init__(self, index: faiss.IndexIVFPQFastScan) -> None:
        self._index = index
        quantizer = faiss.downcast_index(index.quantizer)
        self._centers: Vectors = quantizer.reconstruct_n(0, index.nlist)
        # By row, the list it is in.
        self.lists = np.empty(index.ntotal, np.int32)
        inverted = index.invlists
        for number in range(index.nlist):
            size = inverted.list_size(number)
            if size:
                self.lists[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        self.sizes = self.count(None)

    @property
    def memory_bytes(self) -> int:
        """About the memory they take: of each row its code, its number and its list."""
        return int(self._index.ntotal) * (int(self._index.code_size) + 8 + 4)

    @classmethod
    def of(cls, matrix: Matrix, stopped: Callable[[], bool] = lambda: False) -> Codes:
        """Makes the codes of unit vectors, float32 or float16 [rows, dimensions].

        It takes some seconds for the codebooks and 20 s for a million vectors; where it is
        `stopped`, some rows have none, and it is of no use.
        """
        faiss.omp_set_num_threads(1)
        rows, dimensions = matrix.shape
        parts = dimensions if dimensions % 2 else dimensions // 2
        lists = min(max(rows // ROWS_PER_LIST, 1), LISTS)
        center = faiss.IndexFlatIP(dimensions)
        index = faiss.IndexIVFPQFastScan(
            center, dimensions, lists, parts, BITS, faiss.METRIC_INNER_PRODUCT
        )
        center.this.disown()
        index.own_fields = True
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
        step = rows // max(TRAINED_ON, TRAINED_ON_PER_LIST * lists) + 1
        sample = _copied(matrix[::step])
        index.train(sample if rows >= CODEBOOK else np.resize(sample, (CODEBOOK, dimensions)))
        for start in range(0, rows, ADDED_AT_ONCE):
            if stopped():
                break
            index.add(_copied(matrix[start : start + ADDED_AT_ONCE]))
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> Codes:
        """Reads what `write` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as exc:
            raise ValueError(f"{path.name} has no codes") from exc

    def write(self, path: Path) -> None:
        """Writes the codes to a file.

        Raises:
            OSError: the disk does not take it.
        """
        written(self._index, path)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.lists)

    def count(self, mask: Mask | None) -> NDArray[np.int64]:
        """How many rows each list has, of those in a mask by row."""
        lists = self.lists if mask is None else self.lists[mask]
        return np.bincount(lists, minlength=len(self._centers))

    def nearest(self, query: Vectors, number: int, rows: Findable) -> Keys:
        """About the `number` best of some rows, by code, for a query [dimensions]."""
        similarity = self._centers @ query
        order = np.argsort(-similarity)
        findable = rows.by_list[order]
        near = int(NEAR_SHARE * len(order)) + 1
        share = findable[:near].sum() / max(int(self.sizes[order[:near]].sum()), 1)
        chosen = findable > 0
        if share >= FAR * rows.number / len(self):
            seen = np.cumsum(findable)
            chosen &= seen - findable < enough(rows.number, number)
        lists = np.ascontiguousarray(order[chosen])
        found = self._search(query, number, lists, similarity[lists], rows.selector)
        return found[found >= 0]

    def _search(
        self,
        query: Vectors,
        number: int,
        lists: Keys,
        similarity: Vectors,
        selector: faiss.IDSelector,
    ) -> Keys:
        # The library's own wrapper takes no selector.
        scores, found = np.empty(number, np.float32), np.empty(number, np.int64)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=len(lists))
        pointers = map(faiss.swig_ptr, (lists, similarity, scores, found))
        self._index.search_preassigned_c(
            1, faiss.swig_ptr(query), number, *pointers, False, parameters, None
        )
        return found


@dataclass(frozen=True)
class Findable:
    """Which rows may be found: a mask by row, while `void` rows are void."""

    mask: Mask
    void: int
    codes: Codes

    @cached_property
    def number(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def selector(self) -> faiss.IDSelectorBitmap:
        """The same for FAISS."""
        return faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))

    @cached_property
    def by_list(self) -> NDArray[Any]:
        """How many of them each list of codes has."""
        return self.codes.count(self.mask)


def written(index: faiss.Index, path: Path) -> None:
    """Writes one of FAISS's indexes to a file.

    Raises:
        OSError: the disk does not take it.
    """
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as exc:
        raise OSError(f"{path.name} cannot be written") from exc


def _copied(matrix: Matrix) -> Vectors:
    return np.ascontiguousarray(matrix, np.float32)
