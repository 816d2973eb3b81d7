"""Imports into several catalogs, of which one has a model that hangs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from akin.v1 import item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb
from support.embedders import SPACE, HeldEmbedder
from support.open_catalogs import word_catalogs
from support.tasks import started

from service.api.recommender_servicer import RecommenderServicer
from service.domain.spaces import Model, VectorStorage
from service.embedding.batcher import EMBEDDED_MESSAGES

OTHER = Model(replace(SPACE, model="other words"))

Import = Callable[[RecommenderServicer, str], AsyncIterator[object]]


def import_items(servicer: RecommenderServicer, catalog: str) -> AsyncIterator[object]:
    """Return the responses to an import of one item."""

    async def requests() -> AsyncIterator[pb.ImportItemsRequest]:
        yield pb.ImportItemsRequest(catalog=catalog, items=[item_pb2.Item(item_id="a", text="tea")])

    return servicer.ImportItems(requests())


def import_users(servicer: RecommenderServicer, catalog: str) -> AsyncIterator[object]:
    """Return the responses to an import of one user."""

    async def requests() -> AsyncIterator[pb.ImportUsersRequest]:
        user = user_pb2.User(user_id="u", preferences=[user_pb2.Preference(text="tea")])
        yield pb.ImportUsersRequest(catalog=catalog, users=[user])

    return servicer.ImportUsers(requests())


async def run(responses: AsyncIterator[object]) -> list[object]:
    return [response async for response in responses]


@pytest.mark.parametrize("import_", [import_items, import_users])
async def test_an_import_does_not_wait_for_another_model(tmp_path: Path, import_: Import) -> None:
    """Imports into a catalog whose model hangs do not hold up an import into another one."""
    embedder = HeldEmbedder()
    async with word_catalogs(tmp_path, {OTHER: embedder}) as factory:
        await factory.stores.generations.create_catalog("sick", OTHER, VectorStorage.FLOAT32)
        await factory.catalogs.update()
        servicer = RecommenderServicer(factory.catalogs, time.time_ns)
        hanging = [
            await started(run(import_(servicer, "sick"))) for _ in range(EMBEDDED_MESSAGES + 1)
        ]
        await embedder.held.wait()
        assert 1 == len(await run(import_(servicer, "shop")))
        embedder.release()
        await asyncio.gather(*hanging)
