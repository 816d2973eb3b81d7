"""Changes to a shared index while there is no engine."""

from pathlib import Path

import akin
from support.server import RunningServer, free_address

MEMORY, SHARED = akin.IndexKind.INDEX_KIND_MEMORY, akin.IndexKind.INDEX_KIND_SHARED


def test_a_server_without_the_engine_serves_during_a_change(tmp_path: Path) -> None:
    """It cannot change the index, but starts, says why, and lets the change be cancelled."""
    url = f"http://{free_address()}"
    with RunningServer(tmp_path, EMBEDDER="local", QDRANT_URL=url) as server:
        with server.client() as client:
            client.upsert_item("i", "tea")
            assert SHARED == client.reindex(SHARED).next_index_kind
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        assert "AKIN_QDRANT_URL" in server.wait_for("index_change_failed")["problem"]
        (hit,) = client.recommend_similar(text="tea").recommendations
        assert "i" == hit.item_id
        client.reindex(MEMORY)
        catalog = client.get_catalog()
        assert (MEMORY, 0) == (catalog.index_kind, catalog.next_index_kind)
