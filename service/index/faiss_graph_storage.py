"""Empty graphs for each storage of vectors, and how their rows are added, copied and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import faiss
import numpy as np

from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.component_ranges import LEVELS_PER_CODE, ComponentNumbers, ComponentRanges
from service.index.faiss_quantized_vectors import QuantizedVectors, read_ranges
from service.index.faiss_row_vectors import FloatVectors, RowVectors, find_storage
from service.index.low_bits import LowBits, count_low_bytes, pack_low_bits, read_low_bits

# Links of each row on the upper levels of the graph (M), half as many as on the lowest.
GRAPH_LINKS = 16

# efConstruction. With 80 a search must be four times as broad for the same recall.
CONSTRUCTION_BREADTH = 200

# Values that are encoded together; it bounds the memory that takes to some 40 bytes for each.
RECODED_VALUES = 1_048_576


def create_graph(
    dimensions: int,
    storage: VectorStorage = VectorStorage.FLOAT32,
    ranges: ComponentRanges | None = None,
) -> faiss.IndexHNSW:
    """Create an empty graph over unit vectors.

    Args:
        dimensions: the width of every vector.
        storage: the number format of the vectors. With 30,000 package descriptions the recall@10 of
            float16 is 0.986, and 0.987 of float32.
        ranges: for int8, those of the components of all vectors that will be added.
    """
    quantizer, inner_product = faiss.ScalarQuantizer, faiss.METRIC_INNER_PRODUCT
    if storage is VectorStorage.FLOAT32:
        graph = faiss.IndexHNSWFlat(dimensions, GRAPH_LINKS, inner_product)
    elif storage is VectorStorage.FLOAT16:
        graph = faiss.IndexHNSWSQ(dimensions, quantizer.QT_fp16, GRAPH_LINKS, inner_product)
    elif ranges is not None:
        graph = faiss.IndexHNSWSQ(dimensions, quantizer.QT_8bit, GRAPH_LINKS, inner_product)
        codes = find_storage(graph)
        trained = np.concatenate([ranges.lowest, ranges.spans])
        faiss.copy_array_to_vector(trained, codes.sq.trained)
        codes.is_trained = graph.is_trained = True
    else:
        raise AssertionError("quantized vectors have ranges")
    graph.hnsw.efConstruction = CONSTRUCTION_BREADTH
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
    return _pack_low_bits_of(numbers)


def copy_rows(
    source: faiss.IndexHNSW,
    vectors: RowVectors,
    target: faiss.IndexHNSW,
    is_stopped: Callable[[], bool] = lambda: False,
) -> LowBits:
    """Copy all rows and links of a graph to an empty one over the same storage.

    FAISS's own copy of a graph that is mapped from a file cannot grow.

    Args:
        source: the graph.
        vectors: those of its rows.
        target: for int8, its ranges cover those of the source; if they are wider, the vectors are
            encoded again, which takes 20 s for a million of 256 dimensions.
        is_stopped: says that the result will not be used.

    Returns:
        The bits of the vectors that the target does not keep, as `add_rows` returns them.
    """
    links, copied_links = source.hnsw, target.hnsw
    for name in ("levels", "offsets"):
        values = faiss.vector_to_array(getattr(links, name))
        faiss.copy_array_to_vector(values, getattr(copied_links, name))
    _copy_memory(links.neighbors, copied_links.neighbors)
    copied_links.entry_point, copied_links.max_level = links.entry_point, links.max_level
    storage, copied_storage = find_storage(source), find_storage(target)
    target.ntotal = copied_storage.ntotal = source.ntotal
    if isinstance(vectors, QuantizedVectors) and not vectors.ranges.equals(read_ranges(target)):
        return _encode_again(vectors, target, is_stopped)
    _copy_memory(storage.codes, copied_storage.codes)
    return vectors.low_bits


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


def _copy_memory(
    source: faiss.MaybeOwnedVectorInt32 | faiss.MaybeOwnedVectorUInt8,
    target: faiss.MaybeOwnedVectorInt32 | faiss.MaybeOwnedVectorUInt8,
) -> None:
    """Copy the memory of a graph, which may be that of a mapped file, to another graph."""
    target.resize(source.size())
    faiss.rev_swig_ptr(target.data(), source.size())[:] = faiss.rev_swig_ptr(
        source.data(), source.size()
    )


def _encode_again(
    vectors: QuantizedVectors, graph: faiss.IndexHNSW, is_stopped: Callable[[], bool]
) -> LowBits:
    """Give a graph the codes of vectors by its own ranges; return the other bits."""
    ranges, codes = read_ranges(graph), find_storage(graph).codes
    codes.resize(len(vectors) * graph.d)
    memory = faiss.rev_swig_ptr(codes.data(), codes.size()).reshape(vectors.shape)
    low_bits = np.empty_like(vectors.low_bits)
    step = max(1, RECODED_VALUES // graph.d)
    for start in range(0, len(vectors), step):
        if is_stopped():
            break
        rows = slice(start, start + step)
        numbers = ranges.encode(vectors.get(rows))
        memory[rows] = numbers // LEVELS_PER_CODE
        low_bits[rows] = _pack_low_bits_of(numbers)
    return low_bits


def _pack_low_bits_of(numbers: ComponentNumbers) -> LowBits:
    return pack_low_bits((numbers % LEVELS_PER_CODE).astype(np.uint8))
