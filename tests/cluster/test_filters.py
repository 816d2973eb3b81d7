"""Filters over points of the real engine."""

from __future__ import annotations

from random import Random

import pytest
from qdrant_client import QdrantClient
from support.points import compare_random_filters

from service.index.shared.engine_address import parse_engine_url
from service.index.shared.qdrant_engine import ENGINE_CHANNEL_OPTIONS


@pytest.mark.parametrize("seed", range(10))
def test_random_filters_pass_the_same_as_in_memory(qdrant_url: str, seed: int) -> None:
    """The engine passes exactly the items that columns in memory pass, for 100 random filters."""
    address = parse_engine_url(qdrant_url, "")
    client = QdrantClient(
        host=address.target,
        grpc_port=address.port,
        prefer_grpc=True,
        https=address.tls,
        timeout=60,
        check_compatibility=False,
        grpc_options={**ENGINE_CHANNEL_OPTIONS, "grpc.default_authority": address.authority},
    )
    try:
        compare_random_filters(client, Random(seed))
    finally:
        client.close()
