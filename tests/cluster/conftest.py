"""The cluster that all tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.qdrant_cluster import BINARY, URL, QdrantCluster


@pytest.fixture(scope="session")
def binary() -> Path:
    """Path of the server of Qdrant; without QDRANT_BINARY the test is skipped."""
    path = os.environ.get(BINARY)
    if not path:
        pytest.skip(f"set {BINARY} to the path of a Qdrant server")
    return Path(path).resolve()


@pytest.fixture(scope="session")
def qdrant_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the nodes of Qdrant; without QDRANT_URL and QDRANT_BINARY the test is skipped."""
    if url := os.environ.get(URL):
        yield url
    elif BINARY in os.environ:
        binary: Path = request.getfixturevalue("binary")
        with QdrantCluster(binary, tmp_path_factory.mktemp("qdrant") / "nodes") as cluster:
            yield cluster.url
    else:
        pytest.skip(f"set {BINARY} to the path of a Qdrant server, or {URL} to its gRPC address")
