"""Each method over HTTP and over gRPC: the same answer, and the same error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import akin
import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from support import http_calls
from support.http_server import HttpServer
from support.security import METHODS
from support.server import WAIT_SECONDS

# What differs between two calls of the same method: times, sequence numbers, and random ids.
VOLATILE = {
    "create_time",
    "end_time",
    "recommendation_id",
    "sequence",
    "start_time",
    "update_time",
}

ITEM = {"itemId": "a/1", "text": "A rope for climbing", "attributes": {"price": 10, "new": True}}
USER = {"userId": "ann", "preferences": [{"text": "climbing"}], "likedItems": [{"itemId": "a/1"}]}
LIKE = {"userId": "ann", "itemId": "a/1", "type": "LIKE", "time": "2026-01-02T00:00:00Z"}

REQUESTS: dict[str, dict[str, Any]] = {
    "ListCatalogs": {},
    "GetCatalog": {"catalog": "default"},
    "CreateCatalog": {"catalog": "default"},
    "UpdateCatalog": {"settings": {"newItemBoost": 2}, "updateMask": "newItemBoost"},
    "DeleteCatalog": {"catalog": "no-such", "allowMissing": True},
    "EstimateReembedding": {"embedding": {"provider": "local"}},
    "StartReembedding": {"embedding": {"provider": "local"}},
    "UpsertItem": {"item": ITEM, "requireIndexed": True},
    "UpdateItem": {"item": {"itemId": "a/1", "attributes": {"price": 11}}},
    "GetItem": {"itemId": "a/1", "includeVectors": True},
    "ListItems": {"pageSize": 2, "filter": {"all": [{"attribute": "price", "exists": True}]}},
    "DeleteItem": {"itemId": "no-such", "allowMissing": True},
    "BatchGetItems": {"itemIds": ["a/1", "no-such"]},
    "BatchDeleteItems": {"ids": {"itemIds": ["no-such"]}},
    "RecommendSimilar": {"text": "mountains", "limit": 3, "explain": True},
    "BatchRecommend": {"queries": [{"text": "mountains"}, {"itemId": "no-such"}]},
    "UpsertUser": {"user": USER},
    "UpdateUser": {"user": {"userId": "ann", "preferences": [{"text": "ropes", "weight": 0.3}]}},
    "GetUser": {"userId": "ann"},
    "ListUsers": {"pageSize": 1},
    "DeleteUser": {"userId": "no-such", "allowMissing": True},
    "FindDuplicates": {"minSimilarity": 0.8},
    "FindOutliers": {"limit": 2},
    "ClusterItems": {"clusterCount": 2, "pointLimit": 10},
    "ClassifyText": {"text": "a rope", "attribute": "kind"},
    "SearchPassages": {"text": "rope"},
    "RecordInteractions": {"interactions": [LIKE]},
    "ListInteractions": {"userId": "ann"},
    "DeleteInteractions": {"userId": "nobody"},
}

ONE_REQUEST = [method for method in METHODS if not method.client_streaming]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with HttpServer(tmp_path_factory.mktemp("http"), EMBEDDER="local") as running:
        with running.client() as client:
            for number in range(5):
                client.upsert_item(f"b/{number}", f"Mountain {number}", {"kind": "k"})
            client.upsert_item("a/1", "A rope for climbing", {"price": 10, "kind": "rope"})
            client.upsert_user("ann", ["climbing"])
        yield running


@pytest.fixture
def http(server: HttpServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected


def make_request(method: MethodDescriptor, fields: dict[str, Any]) -> Message:
    return json_format.ParseDict(fields, GetMessageClass(method.input_type)())


def call_grpc(address: str, method: MethodDescriptor, request: Message) -> list[Message]:
    path = f"/{method.containing_service.full_name}/{method.name}"
    codec: dict[str, Any] = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    with grpc.insecure_channel(address) as channel:
        try:
            if method.server_streaming:
                return list(channel.unary_stream(path, **codec)(request, timeout=WAIT_SECONDS))
            return [channel.unary_unary(path, **codec)(request, timeout=WAIT_SECONDS)]
        except grpc.RpcError as exc:
            raise akin._errors.decode(exc) from exc


def steady(message: Any) -> Any:
    """A message as a dictionary without what differs between two calls."""
    if isinstance(message, list):
        return [steady(part) for part in message]
    if not isinstance(message, dict):
        return message
    return {name: steady(part) for name, part in message.items() if name not in VOLATILE}


def outcome(call: Any) -> Any:
    """What came of a call: its responses, or its error."""
    try:
        return [
            steady(json_format.MessageToDict(each, preserving_proto_field_name=True))
            for each in call()
        ]
    except akin.AkinError as exc:
        return exc.code, exc.reason, exc.message, [str(each) for each in exc.violations]


@pytest.mark.parametrize("method", ONE_REQUEST, ids=lambda method: method.name)
def test_a_method_answers_the_same(
    server: HttpServer, http: httpx.Client, method: MethodDescriptor
) -> None:
    """A call over HTTP has the responses, or the error, of the same call over gRPC."""
    request = make_request(method, REQUESTS.get(method.name, {}))
    # Twice over gRPC: the second call meets what the first one has written.
    call_twice = [outcome(lambda: call_grpc(server.address, method, request)) for _ in range(2)]
    assert call_twice[-1] == outcome(lambda: http_calls.call(http, method, request))


@pytest.mark.parametrize("method", ONE_REQUEST, ids=lambda method: method.name)
def test_an_unknown_catalog_is_the_same_error(
    server: HttpServer, http: httpx.Client, method: MethodDescriptor
) -> None:
    """A call that fails has the same code, reason, message and violations."""
    if "catalog" not in method.input_type.fields_by_name:
        pytest.skip("the method names no catalog")
    request = make_request(method, REQUESTS.get(method.name, {}) | {"catalog": "No Catalog"})
    over_grpc = outcome(lambda: call_grpc(server.address, method, request))
    assert isinstance(over_grpc, tuple)
    assert over_grpc == outcome(lambda: http_calls.call(http, method, request))
