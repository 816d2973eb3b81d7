"""Random operations and queries over the real engine, compared with an index in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from index.shared.test_recommendations import compare_random_answers
from support.shared_indexes import ReplicaOptions

from cluster.engine_clients import make_client_class


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("seed", range(10, 15))
async def test_answers_over_the_engine_are_those_from_memory(
    tmp_path: Path, qdrant_url: str, seed: int, *, learns: bool
) -> None:
    """Whatever part of a small catalog is in the engine, each query has the same answer."""
    options = ReplicaOptions(client_class=make_client_class(qdrant_url))
    assert await compare_random_answers(tmp_path, seed, options, learns=learns)
