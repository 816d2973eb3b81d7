"""A real gRPC server with ImportItems, whose messages are prepared and stored as a test directs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

import grpc
from akin._errors import AkinError, decode
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub

from service import errors
from service.api.admission import AdmissionControl
from service.api.call import Pipeline
from service.api.call_counts import CountedHandlers
from service.api.handlers import make_handlers
from service.api.import_stream import run_import
from service.api.load_shedding import LoadShedder
from service.api.message_stream import OpenStreams
from service.api.queue_probe import QueueProbe
from service.api.queued_calls import CallCounts
from service.api.request_memory import RequestMemory
from service.telemetry.calls import CallTelemetry

SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"]

# Messages with these catalogs behave as their names say.
HELD = "held"
UNPREPARED = "unprepared"
UNSTORED = "unstored"

# A response of this many results with long ids is larger than what gRPC reads ahead.
LARGE_RESULTS = 1_000
LONG_ID = "x" * 1_000


class ImportServicer:
    """Imports items; other methods are missing.

    Attributes:
        error: ends a message whose catalog is UNPREPARED or UNSTORED.
        held: is set when a message with the catalog HELD has arrived.
        release: messages with the catalog HELD are prepared once it is set.
        failed: is set when a message has failed.
        result_count: number of results in each response.
        stored_catalogs: the catalogs of the stored messages.
    """

    def __init__(self) -> None:
        self.error: errors.AkinError = errors.CatalogNotFound("the catalog does not exist")
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.failed = asyncio.Event()
        self.result_count = 0
        self.stored_catalogs: list[str] = []

    def __getattr__(self, name: str) -> None:
        """Return nothing for a method that the tests do not call."""

    async def ImportItems(  # noqa: N802  (the name of the method)
        self, requests: AsyncIterator[pb.ImportItemsRequest]
    ) -> AsyncIterator[pb.ImportItemsResponse]:
        """Store many items."""
        async for response in run_import(requests, self._prepare, self._store):
            yield response

    async def GetItem(self, request: pb.GetItemRequest) -> NoReturn:  # noqa: N802
        """Fail."""
        self._fail()

    async def _prepare(self, request: pb.ImportItemsRequest) -> pb.ImportItemsRequest:
        if request.catalog == HELD:
            self.held.set()
            await self.release.wait()
        if request.catalog == UNPREPARED:
            self._fail()
        return request

    async def _store(self, request: pb.ImportItemsRequest) -> pb.ImportItemsResponse:
        if request.catalog == UNSTORED:
            self._fail()
        self.stored_catalogs.append(request.catalog)
        result = item_pb2.ItemResult(item_id=LONG_ID)
        return pb.ImportItemsResponse(results=[result] * self.result_count)

    def _fail(self) -> NoReturn:
        self.failed.set()
        raise self.error


class Import:
    """An import of a blocking client that never half-closes, unless it is finished.

    Attributes:
        call: the call.
    """

    def __init__(self, stub: RecommenderServiceStub) -> None:
        self._requests: SimpleQueue[pb.ImportItemsRequest | None] = SimpleQueue()
        self.call: Any = stub.ImportItems(iter(self._requests.get, None))

    def send(self, *catalogs: str) -> None:
        """Send a message for each catalog."""
        for catalog in catalogs:
            self._requests.put(pb.ImportItemsRequest(catalog=catalog))

    def finish(self) -> None:
        """Half-close."""
        self._requests.put(None)

    async def read(self) -> None:
        """Read one response."""
        await asyncio.to_thread(next, self.call)

    async def read_to_end(self) -> tuple[int, str, str]:
        """Return the number of responses, the status code and the reason."""
        try:
            return await asyncio.to_thread(self._read_to_end)
        finally:
            self.finish()

    def _read_to_end(self) -> tuple[int, str, str]:
        count = 0
        try:
            for _ in self.call:
                count += 1
        except grpc.RpcError as exc:
            error = decode(exc)
            return count, error.code.name, error.reason
        return count, "OK", ""


class ImportServer:
    """The running server.

    Attributes:
        servicer: directs what happens to messages.
        admission: counts the streams in progress.
    """

    def __init__(
        self, servicer: ImportServicer, admission: AdmissionControl, stub: RecommenderServiceStub
    ) -> None:
        self.servicer = servicer
        self.admission = admission
        self._stub = stub
        self._imports: list[Import] = []

    def open_import(self) -> Import:
        """Start an import."""
        self._imports.append(Import(self._stub))
        return self._imports[-1]

    async def get_item(self, timeout_seconds: float | None = None) -> str:
        """Make a unary call, which fails, and return the reason."""
        try:
            await asyncio.to_thread(self._stub.GetItem, pb.GetItemRequest(), timeout_seconds)
        except grpc.RpcError as exc:
            return decode(exc).reason
        return ""

    async def call_missing_method(self) -> AkinError:
        """Make a unary call of a method that has a defect, and return its error."""
        try:
            await asyncio.to_thread(self._stub.GetUser, pb.GetUserRequest())
        except grpc.RpcError as exc:
            return decode(exc)
        raise AssertionError("the method has no defect")

    def close(self) -> None:
        """Release the threads that send the messages of imports."""
        for opened in self._imports:
            opened.finish()


@asynccontextmanager
async def run_import_server(
    idle_seconds: float, make_shedder: Callable[[CallCounts], LoadShedder] = LoadShedder
) -> AsyncIterator[ImportServer]:
    """Run a server whose streams have the given idle timeout.

    Args:
        idle_seconds: the timeout.
        make_shedder: returns what decides when calls start.
    """
    servicer, admission = ImportServicer(), AdmissionControl()
    admission.is_open = True
    handlers = CountedHandlers(QueueProbe(Path("unused")))
    pipeline = Pipeline(
        admission,
        make_shedder(handlers),
        RequestMemory(),
        None,
        CallTelemetry(""),
        OpenStreams(idle_seconds),
    )
    server = grpc.aio.server()
    handlers.add_registered_method_handlers(
        SERVICE.full_name, make_handlers(SERVICE, servicer, pipeline)
    )
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            running = ImportServer(servicer, admission, RecommenderServiceStub(channel))
            try:
                yield running
            finally:
                running.close()
    finally:
        await server.stop(None)
