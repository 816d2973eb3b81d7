import re
from collections.abc import Iterator
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from support.server import RunningServer

CALLING = Path(__file__).parents[2] / "docs" / "calling.md"
MEBIBYTE = 1024 * 1024
ITEM_IDS = [str(number) for number in range(15)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with 15 items of nearly 1 MiB each, which a bare stub imported in one message."""
    folder = tmp_path_factory.mktemp("sizes")
    with RunningServer(folder) as server, grpc.insecure_channel(server.address) as channel:
        items = [akin.item(item_id, "sea " * (MEBIBYTE // 4 - 1)) for item_id in ITEM_IDS]
        requests = iter([pb.ImportItemsRequest(items=items)])
        (response,) = RecommenderServiceStub(channel).ImportItems(requests)
        assert [0] * 15 == [result.code for result in response.results]
        yield server.address


def read_documented_option() -> tuple[str, int]:
    """Return the channel option for Python that the documentation names."""
    match = re.search(r'\("(grpc\.max_receive_message_length)", (\d+)\)', CALLING.read_text())
    assert match
    return match[1], int(match[2])


def test_pages_fit_into_the_default_limit(address: str) -> None:
    """A bare stub without options lists all items: no page exceeds the default limit of gRPC."""
    with grpc.insecure_channel(address) as channel:
        stub = RecommenderServiceStub(channel)
        item_ids: list[str] = []
        request = pb.ListItemsRequest(page_size=1000)
        while True:
            page = stub.ListItems(request)
            item_ids += [item.item_id for item in page.items]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    assert sorted(ITEM_IDS) == sorted(item_ids)


def test_the_documented_option_accepts_the_largest_responses(address: str) -> None:
    """A bare stub with the documented option gets a response of nearly 16 MiB, others do not."""
    request = pb.BatchGetItemsRequest(item_ids=ITEM_IDS)
    with grpc.insecure_channel(address, [read_documented_option()]) as channel:
        response = RecommenderServiceStub(channel).BatchGetItems(request)
    assert 15 == len(response.items)
    assert 14 * MEBIBYTE < response.ByteSize() <= 16 * MEBIBYTE
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        RecommenderServiceStub(channel).BatchGetItems(request)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()
