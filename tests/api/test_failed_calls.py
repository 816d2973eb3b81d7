"""What a failed call leaves behind."""

import asyncio
import gc
from collections.abc import Iterator

import grpc
import pytest
from structlog.testing import capture_logs
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


async def test_a_defect_is_an_internal_error_with_an_id() -> None:
    """The error of a defect says nothing of it, but has the id with which the log explains it."""
    async with asyncio.timeout(GIVE_UP_SECONDS), run_import_server(STREAM_IDLE_SECONDS) as server:
        with capture_logs() as lines:
            error = await server.call_missing_method()
    assert (grpc.StatusCode.INTERNAL, "internal error") == (error.code, error.message)
    ids = {line["event"]: line["request_id"] for line in lines}
    assert {"call_failed": error.request_id, "call": error.request_id} == ids
    assert error.request_id


async def test_failed_calls_leave_no_work_for_the_garbage_collector() -> None:
    """The objects of a failed call are freed at its end, and not by the garbage collector."""
    async with asyncio.timeout(GIVE_UP_SECONDS), run_import_server(STREAM_IDLE_SECONDS) as server:
        server.servicer.error = errors.CatalogNotFound("the catalog does not exist")
        for _ in range(3):
            assert "CATALOG_NOT_FOUND" == await server.get_item()
        while any(isinstance(thing, Call) for thing in gc.get_objects()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
