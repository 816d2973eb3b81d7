"""Divides unit vectors into groups around centers: spherical k-means."""

from __future__ import annotations

import faiss
import numpy as np

from service.index.vector_index import Vectors

ROUNDS = 10
ATTEMPTS = 3
"""The best of so many, which begin far apart: of 5 clear clouds one attempt may find 4. Of 3,000
films' vectors in 12 groups the mean cosine with the centers is 0.727, as after 20 rounds."""

SEED = 1
ANY_NUMBER = 2**31 - 1


def centers(vectors: Vectors, number: int) -> Vectors:
    """The centers of `number` groups, float32 [number, dimensions], unit length.

    They are the same for the same vectors.

    Args:
        vectors: float32 [vectors, dimensions], unit length, at least `number`.
        number: how many groups.
    """
    faiss.omp_set_num_threads(1)  # a setting of each thread
    dimensions = vectors.shape[1]
    clustering = faiss.Clustering(dimensions, number)
    clustering.spherical = True
    clustering.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    clustering.niter = ROUNDS
    clustering.nredo = ATTEMPTS
    clustering.seed = SEED
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = ANY_NUMBER
    clustering.train(np.ascontiguousarray(vectors), faiss.IndexFlatIP(dimensions))
    found: Vectors = faiss.vector_to_array(clustering.centroids).reshape(number, dimensions)
    return found
