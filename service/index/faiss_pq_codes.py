"""PQ codes of vectors: they select the rows that are worth comparing in full.

Product quantization with 4 bits for each two dimensions, whose tables fit into processor registers
("fast scan": André, Kermarrec, Le Scouarnec, 2015; FAISS): a sixteenth of the vectors' bytes, read
in order. Rows are kept in lists by the nearest of some centers, and the nearest lists are read
until enough allowed rows were seen. RaBitQ codes were tried too: they take less memory, and two to
three times as long under a filter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Mask, Vectors
from service.index.faiss_files import read_faiss_index, write_faiss_index
from service.index.faiss_row_vectors import RowVectors
from service.index.planner import CodeTargets, count_compared_rows
from service.index.threads import BUILD_THREADS

# Rows for each list of codes, while there are fewer than the most lists.
ROWS_PER_CODE_LIST = 500

# The query is compared with every list's center, so their number is bounded.
MAX_CODE_LISTS = 1_024

# Vectors to train with for each list's center.
TRAINING_VECTORS_PER_LIST = 40

# The fewest vectors to train the codebooks with: 20,000 gave no better recall.
MIN_TRAINING_VECTORS = 5_000

# Rows that are encoded between two looks at whether the build was stopped.
ENCODED_ROWS = 16_384

# Bits of a code for each part of a vector: the fast scan has registers for 4.
CODE_BITS = 4
CODEBOOK_SIZE = 2**CODE_BITS

# The lists nearest to the query whose share of allowed rows is looked at: this number, and this
# share of all lists. Among 400,000 rows of five sections, queries of other sections can have many
# allowed rows in the latter and none around them: a graph search then finds hardly any hit.
NEAREST_LISTS = 5
NEAR_LISTS_SHARE = 0.05

# Where fewer rows are allowed than elsewhere, the order of lists means less, and more codes are
# read: as many more as these lists have less, up to this part of the share of all rows.
MIN_NEARNESS = 0.25

# If the many lists have less, the query is far from the allowed rows. All lists with allowed rows
# are then read, up to this many allowed rows. With a million package descriptions and filters for
# sections, queries of other sections have a recall@10 of 0.98 to 1.0; a third of the codes gave
# 0.91.
MAX_FAR_CODES = 200_000


class PQCodes:
    """The PQ codes of rows of vectors, which are numbered from 0."""

    def __init__(self, index: faiss.IndexIVFPQFastScan) -> None:
        self._index = index
        quantizer = faiss.downcast_index(index.quantizer)
        self._centers: Vectors = quantizer.reconstruct_n(0, index.nlist)
        # The list of each row.
        self._lists = np.empty(index.ntotal, np.int32)
        inverted = index.invlists
        for number in range(index.nlist):
            size = inverted.list_size(number)
            if size:
                self._lists[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        self._list_sizes = self.count_by_list(None)

    @property
    def memory_bytes(self) -> int:
        """The approximate memory: for each row its code, its number and its list."""
        return int(self._index.ntotal) * (int(self._index.code_size) + 8 + 4)

    @classmethod
    def encode(cls, vectors: RowVectors, is_stopped: Callable[[], bool] = lambda: False) -> PQCodes:
        """Train on and encode unit vectors.

        It takes some seconds for the codebooks, and 20 s for a million vectors. If `is_stopped`
        says so it ends early: some rows then have no code, and the result must not be used.
        """
        faiss.omp_set_num_threads(BUILD_THREADS)  # a setting of each thread
        rows, dimensions = vectors.shape
        parts = dimensions if dimensions % 2 else dimensions // 2
        lists = min(max(rows // ROWS_PER_CODE_LIST, 1), MAX_CODE_LISTS)
        quantizer = faiss.IndexFlatIP(dimensions)
        index = faiss.IndexIVFPQFastScan(
            quantizer, dimensions, lists, parts, CODE_BITS, faiss.METRIC_INNER_PRODUCT
        )
        quantizer.this.disown()
        index.own_fields = True
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
        step = rows // max(MIN_TRAINING_VECTORS, TRAINING_VECTORS_PER_LIST * lists) + 1
        sample = np.ascontiguousarray(vectors.get(slice(0, rows, step)))
        if rows < CODEBOOK_SIZE:
            sample = np.resize(sample, (CODEBOOK_SIZE, dimensions))
        index.train(sample)
        for start in range(0, rows, ENCODED_ROWS):
            if is_stopped():
                break
            index.add(vectors.get(slice(start, start + ENCODED_ROWS)))
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> PQCodes:
        """Read codes from a file that `write` wrote.

        Raises:
            ValueError: the file is missing or has no FAISS index.
        """
        return cls(read_faiss_index(path))

    def write(self, path: Path) -> None:
        """Write the codes to a file.

        Raises:
            OSError: the file cannot be written.
        """
        write_faiss_index(self._index, path)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lists)

    def count_by_list(self, mask: Mask | None) -> NDArray[np.int64]:
        """Count the rows of each list, those in a mask by row or all."""
        lists = self._lists if mask is None else self._lists[mask]
        return np.bincount(lists, minlength=len(self._centers))

    def rank_lists(self, query: Vectors, allowed: AllowedRows) -> RankedLists:
        """Return the lists by their similarity with a query [dimensions]."""
        similarities = self._centers @ query
        order = np.argsort(-similarities)
        counts, sizes = allowed.counts_by_list[order], self._list_sizes[order]
        share = allowed.number / len(self)
        nearest, near = (
            float(counts[:number].sum() / (sizes[:number].sum() * share + 1e-9))
            for number in (NEAREST_LISTS, int(NEAR_LISTS_SHARE * len(order)) + 1)
        )
        return RankedLists(order, similarities[order], counts, sizes, nearest, near)

    def find_nearest(
        self, query: Vectors, limit: int, ranked: RankedLists, allowed: AllowedRows
    ) -> Keys:
        """Return the allowed rows with the best codes for a query [dimensions].

        Args:
            query: float32 [dimensions].
            limit: the number of results for which there must be enough rows.
            ranked: the lists, as `rank_lists` returns them for the query.
            allowed: the rows that may be found.
        """
        chosen = ranked.choose(CodeTargets.choose(len(self), limit))
        lists = np.ascontiguousarray(ranked.numbers[chosen])
        number = count_compared_rows(int(ranked.allowed_counts[chosen].sum()), limit)
        similarities = np.ascontiguousarray(ranked.similarities[chosen])
        rows = self._search_lists(query, number, lists, similarities, allowed.selector)
        return rows[rows >= 0]

    def _search_lists(
        self,
        query: Vectors,
        number: int,
        lists: Keys,
        similarities: Vectors,
        selector: faiss.IDSelector,
    ) -> Keys:
        # The library's own wrapper takes no selector.
        scores, rows = np.empty(number, np.float32), np.empty(number, np.int64)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=len(lists))
        pointers = map(faiss.swig_ptr, (lists, similarities, scores, rows))
        self._index.search_preassigned_c(
            1, faiss.swig_ptr(query), number, *pointers, False, parameters, None
        )
        return rows


class RankedLists(NamedTuple):
    """Lists of codes by their similarity with a query.

    Attributes:
        numbers: of the lists, nearest first.
        similarities: of their centers.
        allowed_counts: the number of allowed rows in each.
        sizes: the number of rows in each.
        nearest: the allowed share of a few nearest lists, relative to that of all rows.
        near: the same of more lists.
    """

    numbers: Keys
    similarities: Vectors
    allowed_counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    nearest: float
    near: float

    @property
    def nearness(self) -> float:
        """The lesser share."""
        return min(self.nearest, self.near)

    def choose(self, targets: CodeTargets) -> Mask:
        """Return a mask of the lists to read."""
        chosen: Mask = self.allowed_counts > 0
        allowed = np.cumsum(self.allowed_counts) - self.allowed_counts
        if self.near < MIN_NEARNESS:
            chosen &= allowed < MAX_FAR_CODES
            return chosen
        read = np.cumsum(self.sizes) - self.sizes
        part = min(max(self.nearness, MIN_NEARNESS), 1.0)
        chosen &= (read < targets.read / part) | (allowed < targets.allowed)
        return chosen


@dataclass(frozen=True)
class AllowedRows:
    """The rows that may be hits, as a mask by row, as of `deleted` deleted rows."""

    mask: Mask
    deleted: int
    pq_codes: PQCodes

    @cached_property
    def number(self) -> int:
        """The number of rows."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> Keys:
        """The numbers of the rows."""
        return np.flatnonzero(self.mask)

    @cached_property
    def selector(self) -> faiss.IDSelectorBitmap:
        """The rows as FAISS takes them."""
        return faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))

    @cached_property
    def counts_by_list(self) -> NDArray[Any]:
        """The number of rows in each list of codes."""
        return self.pq_codes.count_by_list(self.mask)
