import asyncio
from collections.abc import AsyncIterator

import pytest
from google.rpc import code_pb2
from structlog.testing import capture_logs
from support.import_server import (
    HELD,
    LARGE_RESULTS,
    UNPREPARED,
    UNSTORED,
    ImportServer,
    run_import_server,
)

from service import errors
from service.api.message_stream import STREAM_IDLE_SECONDS
from service.api.status import CODES

GIVE_UP_SECONDS = 120.0
SHORT_SECONDS = 0.2

# Messages whose responses exceed what gRPC sends to a client that does not read.
MANY = 50

FAILURES = [
    errors.CatalogNotFound("the catalog does not exist"),
    errors.invalid_field("catalog", "must be a name"),
    errors.Overloaded("the queue is full"),
    errors.StoreFull("the disk is full"),
    errors.PermissionDenied("the key may not write"),
    errors.NotReady("the service is shutting down"),
]


@pytest.fixture
async def server() -> AsyncIterator[ImportServer]:
    async with asyncio.timeout(GIVE_UP_SECONDS), run_import_server(STREAM_IDLE_SECONDS) as running:
        yield running


@pytest.fixture
async def impatient() -> AsyncIterator[ImportServer]:
    """A server with a short idle timeout."""
    async with asyncio.timeout(GIVE_UP_SECONDS), run_import_server(SHORT_SECONDS) as running:
        yield running


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("catalog", [UNPREPARED, UNSTORED])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
async def test_an_error_arrives_although_the_client_keeps_the_stream_open(
    server: ImportServer, failure: errors.AkinError, catalog: str, count: int
) -> None:
    """The error of a message ends the call, with any number of messages behind it."""
    server.servicer.error = failure
    opened = server.open_import()
    opened.send("")
    await opened.read()
    opened.send(catalog, *[""] * count)
    code = code_pb2.Code.Name(CODES[type(failure)])
    assert (0, code, failure.reason) == await opened.read_to_end()
    await server.admission.wait_until_idle()
    assert [""] == server.servicer.stored_catalogs


async def test_an_import_without_messages_ends(impatient: ImportServer) -> None:
    """A stream on which no message arrives ends with ABORTED, and is no longer counted."""
    assert (0, "ABORTED", "STREAM_IDLE") == await impatient.open_import().read_to_end()
    await impatient.admission.wait_until_idle()


async def test_an_import_whose_client_pauses_ends(impatient: ImportServer) -> None:
    """A stream ends if no message follows the last response."""
    opened = impatient.open_import()
    opened.send("")
    assert (1, "ABORTED", "STREAM_IDLE") == await opened.read_to_end()


async def test_a_stream_is_not_idle_while_the_server_works(impatient: ImportServer) -> None:
    """A client that waits for a response longer than the idle timeout gets it."""
    opened = impatient.open_import()
    opened.send(HELD)
    await impatient.servicer.held.wait()
    assert (0, "ABORTED", "STREAM_IDLE") == await impatient.open_import().read_to_end()
    impatient.servicer.release.set()
    assert (1, "ABORTED", "STREAM_IDLE") == await opened.read_to_end()


async def test_responses_that_are_not_read_end_a_stream(impatient: ImportServer) -> None:
    """A stream whose client does not read ends; what is stored is answered before the status."""
    impatient.servicer.result_count = LARGE_RESULTS
    opened = impatient.open_import()
    opened.send(*[""] * MANY)
    await opened.read()
    await impatient.admission.wait_until_idle()
    count, code, reason = await opened.read_to_end()
    assert ("ABORTED", "STREAM_IDLE") == (code, reason)
    assert len(impatient.servicer.stored_catalogs) == 1 + count


async def test_a_client_that_leaves_ends_a_stream(server: ImportServer) -> None:
    """A call that its client cancels while a response is sent ends as CANCELLED."""
    server.servicer.result_count = LARGE_RESULTS
    opened = server.open_import()
    opened.send(*[""] * MANY)
    await opened.read()
    with capture_logs() as logs:
        opened.call.cancel()
        await server.admission.wait_until_idle()
    assert [("call", "CANCELLED")] == [(line["event"], line.get("code")) for line in logs]
