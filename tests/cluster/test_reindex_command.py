"""`akin reindex` with a real cluster of Qdrant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import akin
import pytest
from support.server import RunningServer
from typer.testing import CliRunner

from service.cli.main import app

ITEMS = [
    (f"i{number}", f"text about topic {number % 7} and number {number}") for number in range(99)
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, qdrant_url: str) -> Iterator[RunningServer]:
    """A server whose new catalogs are in memory, and can be in Qdrant."""
    folder = tmp_path_factory.mktemp("reindex")
    with RunningServer(folder, EMBEDDER="local", QDRANT_URL=qdrant_url) as running:
        yield running


def run(server: RunningServer, *words: str) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(app, [*words, "--address", server.address])
    assert 0 == result.exit_code, result.stderr
    return result.stdout


def recommend(client: akin.Client) -> list[str]:
    response = client.recommend_similar(text="text about topic 3", limit=5, exact=True)
    return [hit.item_id for hit in response.recommendations]


def test_a_catalog_moves_to_the_engine_and_back(server: RunningServer) -> None:
    """The same items are recommended from both indexes, and the catalog says which one serves."""
    with server.client() as client:
        for item_id, text in ITEMS:
            client.upsert_item(item_id, text)
        before = recommend(client)
        assert "default: the index is shared\n" == run(server, "reindex", "--to", "shared")
        assert "index: shared" in run(server, "status").splitlines()
        assert before == recommend(client)
        client.upsert_item("new", "text about topic 3")
        assert "new" == recommend(client)[0]
        in_memory = json.loads(run(server, "reindex", "--to", "memory", "--json"))
        assert "INDEX_KIND_MEMORY" == in_memory["index_kind"]
        assert "new" == recommend(client)[0]
        created = json.loads(run(server, "catalogs", "create", "b", "--index", "shared", "--json"))
        assert "INDEX_KIND_SHARED" == created["index_kind"]


def test_a_catalog_without_its_engine_returns_to_memory(tmp_path: Path, qdrant_url: str) -> None:
    """A server that was started without the engine cannot open the catalog, and says why."""
    with RunningServer(tmp_path, EMBEDDER="local", QDRANT_URL=qdrant_url) as server:
        run(server, "catalogs", "create", "a", "--index", "shared")
        with server.client() as client:
            client.catalog("a").upsert_item("i", "tea")
    with RunningServer(tmp_path, EMBEDDER="local") as server:
        with server.client() as client, pytest.raises(akin.AkinError, match="AKIN_QDRANT_URL"):
            client.catalog("a").get_item("i")
        assert "a: the index is memory\n" == run(
            server, "--catalog", "a", "reindex", "--to", "memory"
        )
        with server.client() as client:
            hits = client.catalog("a").recommend_similar(text="tea").recommendations
    assert ["i"] == [hit.item_id for hit in hits]
