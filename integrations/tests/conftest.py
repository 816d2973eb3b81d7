"""One server for all tests of a process, and an empty catalog for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import RunningServer

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the local model."""
    folder: Path = tmp_path_factory.mktemp("server")
    with RunningServer(folder) as running:
        yield running


@pytest.fixture
def catalog(server: RunningServer) -> Iterator[str]:
    """The name of an empty catalog, which is deleted at the end of the test."""
    name = f"test-{next(_NUMBERS)}"
    with server.client() as client:
        client.create_catalog(name)
        yield name
        client.delete_catalog(name)
