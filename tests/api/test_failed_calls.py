"""What a failed call leaves behind."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from support.import_server import run_import_server

from service import errors
from service.api.call import Call
from service.api.message_stream import STREAM_IDLE_SECONDS

GIVE_UP_SECONDS = 120.0


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_failed_calls_leave_no_work_for_the_garbage_collector() -> None:
    """The objects of a failed call are freed at its end, and not by the garbage collector."""
    async with asyncio.timeout(GIVE_UP_SECONDS), run_import_server(STREAM_IDLE_SECONDS) as server:
        server.servicer.error = errors.CatalogNotFound("the catalog does not exist")
        for _ in range(3):
            assert "CATALOG_NOT_FOUND" == await server.get_item()
        while any(isinstance(thing, Call) for thing in gc.get_objects()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
