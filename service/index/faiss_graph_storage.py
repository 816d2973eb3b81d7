"""Empty graphs for each storage of vectors, and how their rows are added and read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np

from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.component_ranges import LEVELS_PER_CODE, ComponentRanges
from service.index.faiss_quantized_vectors import QuantizedVectors, read_ranges
from service.index.faiss_row_vectors import FloatVectors, RowVectors, find_storage
from service.index.low_bits import LowBits, count_low_bytes, pack_low_bits, read_low_bits


def create_graph(
    dimensions: int, links: int, storage: VectorStorage, ranges: ComponentRanges | None = None
) -> faiss.IndexHNSW:
    """Create an empty graph.

    Args:
        dimensions: the width of every vector.
        links: of each row on the upper levels (M).
        storage: the number format of its vectors.
        ranges: for int8, those of the components of all vectors that will be added.
    """
    inner_product = faiss.METRIC_INNER_PRODUCT
    if storage is VectorStorage.FLOAT32:
        return faiss.IndexHNSWFlat(dimensions, links, inner_product)
    quantizer = faiss.ScalarQuantizer
    if storage is VectorStorage.FLOAT16:
        return faiss.IndexHNSWSQ(dimensions, quantizer.QT_fp16, links, inner_product)
    if ranges is None:
        raise AssertionError("quantized vectors have ranges")
    graph = faiss.IndexHNSWSQ(dimensions, quantizer.QT_8bit, links, inner_product)
    codes = find_storage(graph)
    trained = np.concatenate([ranges.lowest, ranges.spans])
    faiss.copy_array_to_vector(trained, codes.sq.trained)
    codes.is_trained = graph.is_trained = True
    return graph


def add_rows(graph: faiss.IndexHNSW, vectors: Vectors) -> LowBits:
    """Add vectors to a graph, float32 [vectors, dimensions].

    Returns:
        The bits of the vectors that the graph does not keep, [vectors, bytes]; for floats there are
        no such bytes.
    """
    if not is_quantized(graph):
        graph.add(np.ascontiguousarray(vectors))
        return np.empty((len(vectors), 0), np.uint8)
    ranges = read_ranges(graph)
    numbers = ranges.encode(vectors)
    # FAISS derives the same codes from the values in the middle of the levels.
    graph.add(ranges.decode(numbers))
    return pack_low_bits((numbers % LEVELS_PER_CODE).astype(np.uint8))


def map_vectors(graph: faiss.IndexHNSW, low_bits: LowBits) -> RowVectors:
    """Return the vectors of a graph, given the bits that `add_rows` returned."""
    return QuantizedVectors(graph, low_bits) if is_quantized(graph) else FloatVectors(graph)


def restore_vectors(graph: faiss.IndexHNSW, low_bits_path: Path) -> RowVectors:
    """Return the vectors of a graph; a file has the bits that the graph does not keep, if any.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not that of the graph.
    """
    if not is_quantized(graph):
        return FloatVectors(graph)
    low_bits = read_low_bits(low_bits_path)
    if low_bits.shape != (graph.ntotal, count_low_bytes(graph.d)):
        raise ValueError(f"{low_bits_path.name} is of another graph")
    return QuantizedVectors(graph, low_bits)


def is_quantized(graph: faiss.IndexHNSW) -> bool:
    """Return whether a graph keeps 8-bit codes, beside which there are other bits."""
    storage = find_storage(graph)
    if not isinstance(storage, faiss.IndexScalarQuantizer):
        return False
    return bool(storage.sq.qtype == faiss.ScalarQuantizer.QT_8bit)


def unite_ranges(vectors: Iterable[RowVectors]) -> ComponentRanges | None:
    """Return ranges that cover those of several graphs; None if there are none."""
    united = None
    for own in (part.ranges for part in vectors if isinstance(part, QuantizedVectors)):
        united = own if united is None else united.union(own)
    return united
