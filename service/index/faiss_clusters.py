"""Divides unit vectors into groups around centres: spherical k-means."""

from __future__ import annotations

import faiss
import numpy as np

from service.index.base import Vectors

ROUNDS = 20
"""Of 3,000 films' vectors in 12 groups the mean cosine with the centres is 0.727 after these, and
0.001 more at best of four attempts."""

SEED = 1
ANY_NUMBER = 2**31 - 1


def centres(vectors: Vectors, number: int) -> Vectors:
    """The centres of `number` groups, float32 [number, dimensions], unit length.

    They are the same for the same vectors.

    Args:
        vectors: float32 [vectors, dimensions], unit length, at least `number`.
        number: how many groups.
    """
    faiss.omp_set_num_threads(1)  # a setting of each thread
    dimensions = vectors.shape[1]
    clustering = faiss.Clustering(dimensions, number)
    clustering.spherical = True
    clustering.niter = ROUNDS
    clustering.seed = SEED
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = ANY_NUMBER
    clustering.train(np.ascontiguousarray(vectors), faiss.IndexFlatIP(dimensions))
    found: Vectors = faiss.vector_to_array(clustering.centroids).reshape(number, dimensions)
    return found
