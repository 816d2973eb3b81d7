"""Filters over points of the real engine."""

from __future__ import annotations

from random import Random

import pytest
from qdrant_client import QdrantClient
from support.points import compare_random_filters

from cluster.engine_clients import describe_connection


@pytest.mark.parametrize("seed", range(10))
def test_random_filters_pass_the_same_as_in_memory(qdrant_url: str, seed: int) -> None:
    """The engine passes exactly the items that columns in memory pass, for 100 random filters."""
    client = QdrantClient(**describe_connection(qdrant_url))
    try:
        compare_random_filters(client, Random(seed))
    finally:
        client.close()
