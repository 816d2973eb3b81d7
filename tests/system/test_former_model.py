"""Catalogs that an earlier version embedded with its own local model."""

import asyncio
from pathlib import Path

import akin
from support.clock import FakeClock
from support.server import RunningServer
from support.stores import open_stores
from support.waiting import until

from service.domain.spaces import Model
from service.embedding.local import FORMER_LOCAL_MODEL, LOCAL_MODEL, LocalEmbedder

TEXTS = {"boot": "hiking boots for the mountains", "cake": "a cake with cherries"}


async def create_default_catalog(folder: Path) -> None:
    """Create the default catalog as an earlier version did."""
    stores = open_stores(folder, FakeClock())
    await stores.generations.open_default(Model(LocalEmbedder(model=FORMER_LOCAL_MODEL).space))
    await stores.database.close()


def get_model(client: akin.Client) -> str:
    """The model of the default catalog without the digest of its weights."""
    return client.get_catalog().space.model.partition("@")[0]


def is_switched(client: akin.Client) -> bool:
    state = client.get_reembedding().state
    return bool(state == akin.ReembeddingState.REEMBEDDING_STATE_SERVING)


def test_a_catalog_keeps_its_model_until_it_is_re_embedded(tmp_path: Path) -> None:
    """After an update the catalog answers as before; one call moves it to the current model."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    asyncio.run(create_default_catalog(folder))
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        assert FORMER_LOCAL_MODEL == get_model(client)
        for item_id, text in TEXTS.items():
            client.upsert_item(item_id, text)
        (boot, _) = client.recommend_similar(text="walking uphill in boots").recommendations
        assert "boot" == boot.item_id
        client.start_reembedding(provider="local")
        until(lambda: is_switched(client))
        client.commit_reembedding()
        assert LOCAL_MODEL == get_model(client)
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        assert LOCAL_MODEL == get_model(client)
        (boot, _) = client.recommend_similar(text="walking uphill in boots").recommendations
        assert "boot" == boot.item_id
        client.create_catalog("new", provider="local")
        assert LOCAL_MODEL == client.get_catalog("new").space.model.partition("@")[0]
