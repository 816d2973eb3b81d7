"""The id of a call: given by the caller or made by the server, returned, and logged."""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from akin.v1 import analysis_service_pb2, analysis_service_pb2_grpc, recommender_service_pb2_grpc
from akin.v1 import recommender_service_pb2 as pb
from support.server import RunningServer

GENERATED = re.compile("[0-9a-f]{16}")
INVALID = {
    "empty": "",
    "with a space": "two words",
    "too long": "x" * 129,
}


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as connected:
        yield connected


def _list_items(channel: grpc.Channel, *metadata: tuple[str, str]) -> str:
    """Calls ListItems with metadata, and returns the request id of the reply."""
    stub = recommender_service_pb2_grpc.RecommenderServiceStub(channel)
    _, call = stub.ListItems.with_call(pb.ListItemsRequest(page_size=1), metadata=metadata)
    return _read_id(call)


def _read_id(call: Any) -> str:
    (request_id,) = (value for key, value in call.trailing_metadata() if key == "x-request-id")
    return str(request_id)


def _logged_codes(server: RunningServer, request_id: str) -> list[str]:
    """Returns the codes of the calls with an id in the log, which appear soon after the replies."""
    while True:
        lines = server.events("call")
        if codes := [line["code"] for line in lines if line["request_id"] == request_id]:
            return codes


@pytest.mark.parametrize("request_id", ["order/1017", "x" * 128, "!~"])
def test_given_id_is_returned_and_logged(
    server: RunningServer, channel: grpc.Channel, request_id: str
) -> None:
    """A valid id is in the trailing metadata of the reply, and in the log line of the call."""
    assert request_id == _list_items(channel, ("x-request-id", request_id))
    assert ["OK"] == _logged_codes(server, request_id)


@pytest.mark.parametrize("request_id", INVALID.values(), ids=INVALID.keys())
def test_invalid_id_is_replaced(channel: grpc.Channel, request_id: str) -> None:
    """An id that is too long, or not visible ASCII, is replaced by one of the server."""
    assert GENERATED.fullmatch(_list_items(channel, ("x-request-id", request_id)))


def test_first_valid_id_counts(channel: grpc.Channel) -> None:
    """Of several ids, the first valid one is taken."""
    ids = (("x-request-id", "not valid"), ("x-request-id", "second"), ("x-request-id", "third"))
    assert "second" == _list_items(channel, *ids)


def test_calls_without_an_id_get_different_ones(
    server: RunningServer, channel: grpc.Channel
) -> None:
    """The server makes an id for each call that has none, and logs it."""
    first, second = _list_items(channel), _list_items(channel)
    assert first != second
    assert GENERATED.fullmatch(first)
    assert ["OK"] == _logged_codes(server, first)


def test_failed_call_returns_its_id(server: RunningServer, channel: grpc.Channel) -> None:
    """An error has the id of its call."""
    stub = recommender_service_pb2_grpc.RecommenderServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetItem(pb.GetItemRequest(item_id="no such"), metadata=(("x-request-id", "failed"),))
    assert "failed" == _read_id(caught.value)
    assert ["NOT_FOUND"] == _logged_codes(server, "failed")


def test_stream_returns_its_id_at_its_end(channel: grpc.Channel) -> None:
    """A stream has its id in its trailing metadata."""
    stub: Any = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
    request = analysis_service_pb2.FindDuplicatesRequest()
    call = stub.FindDuplicates(request, metadata=(("x-request-id", "stream"),))
    assert list(call)
    assert "stream" == _read_id(call)
