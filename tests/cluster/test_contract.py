"""The conformance cases of the clients, over a server whose catalogs have shared indexes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import akin
import pytest
from clients.test_conformance import call_step
from support.conformance import CASES, Json, run_until_done
from support.postgres import database_of
from support.server import RunningServer

# The server of these tests has an engine.
ABSENT_ENGINE = "a server without an engine has no shared indexes"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, qdrant_url: str) -> Iterator[akin.Client]:
    """A client of a new server over PostgreSQL and Qdrant."""
    folder = tmp_path_factory.mktemp("contract")
    settings = {
        "EMBEDDER": "local",
        "STORE": database_of(folder),
        "INDEX": "shared",
        "QDRANT_URL": qdrant_url,
        "QDRANT_REPLICAS": "2",
    }
    with RunningServer(folder, **settings) as server, server.client() as client:
        yield client


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["name"] != ABSENT_ENGINE],
    ids=lambda case: case["name"],
)
def test_conformance_case_over_a_shared_index(client: akin.Client, case: Json) -> None:
    """Every step of a case has the result that the case defines."""
    saved: dict[str, str] = {}
    for step in case["steps"]:
        run_until_done(partial(call_step, client), step, saved)
