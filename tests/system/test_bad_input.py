from datetime import UTC, datetime, timedelta
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import filter_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from support.rejections import RawClient, invalid, translated
from support.server import RunningServer

pytestmark = pytest.mark.usefixtures("unchanged")

NAN, INF = float("nan"), float("inf")
YESTERDAY = Timestamp()
YESTERDAY.FromDatetime(datetime.now(UTC) - timedelta(days=1))
VALUE_WITHOUT_KIND = Struct()
VALUE_WITHOUT_KIND.fields["price"].SetInParent()
GOOD = {"item_id": "a good id", "text": "a good text"}


def attributes(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


BAD_ITEMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "empty text": ({"text": ""}, ["item.text"]),
    "blank text": ({"text": " \t\r\n\u3000"}, ["item.text"]),
    "text of 2 MiB": ({"text": "word " * (2 * 1024 * 1024 // 5)}, ["item.text"]),
    "text one byte too long": ({"text": "é" * (512 * 1024) + "."}, ["item.text"]),
    "text that says nothing": ({"text": "🙂🙂"}, ["item.text"]),
    "no id": ({"item_id": ""}, ["item.item_id"]),
    "id of 300 bytes": ({"item_id": "x" * 300}, ["item.item_id"]),
    "id of 258 bytes in 129 characters": ({"item_id": "é" * 129}, ["item.item_id"]),
    "id with a line break": ({"item_id": "a\nb"}, ["item.item_id"]),
    "id with a zero byte": ({"item_id": "a\x00b"}, ["item.item_id"]),
    "id with a high control": ({"item_id": "a\x85b"}, ["item.item_id"]),
    "attribute NaN": ({"attributes": attributes({"price": NAN})}, ["item.attributes.price"]),
    "attributes infinite": (
        {"attributes": attributes({"sizes": [1, INF, -INF]})},
        ["item.attributes.sizes[1]", "item.attributes.sizes[2]"],
    ),
    "attribute NaN below": (
        {"attributes": attributes({"a": {"b": {"c": NAN}}})},
        ["item.attributes.a.b.c"],
    ),
    "attributes too deep": (
        {"attributes": attributes({"a": {"b": {"c": {"d": {"e": 1}}}}})},
        ["item.attributes"],
    ),
    "lists too deep": ({"attributes": attributes({"a": [[[[1]]]]})}, ["item.attributes"]),
    "too many keys": (
        {"attributes": attributes({f"k{n}": n for n in range(257)})},
        ["item.attributes"],
    ),
    "too many keys below": (
        {"attributes": attributes({"a": [{f"k{n}": n} for n in range(256)]})},
        ["item.attributes"],
    ),
    "attributes too large": ({"attributes": attributes({"a": "x" * 65_536})}, ["item.attributes"]),
    "value without kind": ({"attributes": VALUE_WITHOUT_KIND}, ["item.attributes.price"]),
    "expired": ({"expire_time": YESTERDAY}, ["item.expire_time"]),
    "expired at the epoch": ({"expire_time": Timestamp()}, ["item.expire_time"]),
    "before the epoch": ({"expire_time": Timestamp(seconds=-1)}, ["item.expire_time"]),
    "beyond all time": ({"expire_time": Timestamp(seconds=2**62)}, ["item.expire_time"]),
    "negative nanoseconds": (
        {"expire_time": Timestamp(seconds=2**32, nanos=-1)},
        ["item.expire_time"],
    ),
    "too many nanoseconds": (
        {"expire_time": Timestamp(seconds=2**32, nanos=10**9)},
        ["item.expire_time"],
    ),
    "everything": (
        {
            "item_id": "",
            "text": " ",
            "attributes": attributes({"price": NAN}),
            "expire_time": YESTERDAY,
        },
        ["item.item_id", "item.text", "item.attributes.price", "item.expire_time"],
    ),
}


@pytest.fixture(params=BAD_ITEMS.values(), ids=list(BAD_ITEMS))
def bad_item(request: pytest.FixtureRequest) -> tuple[akin.Item, list[str]]:
    fields, expected = request.param
    return akin.Item(**(GOOD | fields)), expected


def test_bad_item_is_refused(
    client: akin.Client, raw: RawClient, bad_item: tuple[akin.Item, list[str]]
) -> None:
    """A bad item is refused with every field at fault, and not stored."""
    item, fields = bad_item
    with invalid(*fields), translated():
        raw.stub.UpsertItem(pb.UpsertItemRequest(item=item))
    with pytest.raises(akin.AkinError):
        client.get_item(item.item_id)


def test_bad_item_fails_alone_in_an_import(
    client: akin.Client, prefix: str, bad_item: tuple[akin.Item, list[str]]
) -> None:
    """In an import the bad item gets its error, and its neighbors are stored."""
    item, fields = bad_item
    ids = [f"{prefix}before"[-256:], f"{prefix}after"[-256:]]
    neighbors = [akin.item(each, "A good neighbour") for each in ids]
    before, result, after = client.import_items([neighbors[0], item, neighbors[1]])
    assert grpc.StatusCode.INVALID_ARGUMENT.value[0] == result.code
    assert "INVALID_REQUEST" == result.reason
    assert item.item_id[:256] == result.item_id
    assert 0 == result.sequence
    for field in fields:
        assert f"{field} " in result.message
    assert (0, 0) == (before.code, after.code)
    for each in ids:
        assert "A good neighbour" == client.get_item(each).text
        client.delete_item(each)


def test_unconvertible_value_hides_nothing(raw: RawClient) -> None:
    """A value without kind or a time out of range is named beside all other faults."""
    item = akin.Item(text=" ", attributes=VALUE_WITHOUT_KIND, expire_time=Timestamp(seconds=-1))
    with (
        invalid("item.item_id", "item.text", "item.attributes.price", "item.expire_time"),
        translated(),
    ):
        raw.stub.UpsertItem(pb.UpsertItemRequest(item=item))


def test_refused_update_leaves_the_old_version(client: akin.Client, prefix: str) -> None:
    """A refused upsert of an existing item leaves the stored version as it was."""
    stored = client.upsert_item(f"{prefix}1", "The version that stays").item
    with invalid("item.text"):
        client.upsert_item(f"{prefix}1", " ")
    with invalid("expected_sequence"):
        client.upsert_item(f"{prefix}1", "Another version", expected_sequence=-1)
    assert stored == client.get_item(f"{prefix}1")
    client.delete_item(f"{prefix}1")


def test_limits_themselves_are_fine(client: akin.Client) -> None:
    """An item exactly at every limit is stored."""
    wide = {f"k{number}": "x" for number in range(252)} | {"a": {"b": {"c": {"d": 1}}}}
    small = len('{"k": ""}')
    text = ("word " * 210_000)[: 1024 * 1024]
    for item_id, attributes_ in (("é" * 128, wide), ("x" * 256, {"k": "x" * (65_536 - small)})):
        item = client.upsert_item(item_id, text, attributes_).item
        assert item == client.get_item(item_id)
        assert item.sequence > 0
        client.delete_item(item_id)


@pytest.mark.parametrize("bad_id", ["", "x" * 300, "a\x00b", "\x7f"])
def test_bad_ids_are_refused_everywhere(client: akin.Client, bad_id: str) -> None:
    """Every call with a bad id is refused and names the field."""
    for call in (client.get_item, client.delete_item):
        with invalid("item_id"):
            call(bad_id)
    for call_user in (client.get_user, client.delete_user):
        with invalid("user_id"):
            call_user(bad_id)
    with invalid("item_id"):
        client.recommend_similar(item_id=bad_id)
    with invalid("user_id"):
        client.recommend_similar(user_id=bad_id)
    with invalid("user.user_id"):
        client.upsert_user(bad_id, ["anything"])


@pytest.mark.parametrize("catalog", ["No Such", "-a", "a" * 64, "é", "default\n"])
def test_malformed_catalog(server: RunningServer, catalog: str) -> None:
    """A catalog whose name is none is refused by every call."""
    with server.client(catalog=catalog) as client:
        for call in calls_of(client):
            with invalid("catalog"):
                call()


def test_unknown_catalog(server: RunningServer) -> None:
    """A catalog that does not exist is NOT_FOUND by every call."""
    with server.client(catalog="elsewhere") as client:
        for call in calls_of(client):
            with pytest.raises(akin.AkinError) as caught:
                call()
            assert grpc.StatusCode.NOT_FOUND == caught.value.code
            assert "CATALOG_NOT_FOUND" == caught.value.reason


@pytest.mark.parametrize("group", ["all", "any", "none"])
@pytest.mark.parametrize("levels", range(3))
@pytest.mark.parametrize("validate_only", [True, False])
def test_a_filter_without_a_test_deletes_nothing(
    client: akin.Client, raw: RawClient, prefix: str, group: str, levels: int, validate_only: bool
) -> None:
    """A deletion by a filter without a test is refused on every level, and no item is deleted."""
    client.upsert_item(f"{prefix}1", "The item that stays")
    filter_ = filter_pb2.Filter()
    for _ in range(levels):
        filter_ = filter_pb2.Filter(**{group: [filter_pb2.Condition(filter=filter_)]})
    request = pb.BatchDeleteItemsRequest(filter=filter_, validate_only=validate_only)
    path = "filter" + f".{group}[0].filter" * levels
    with invalid(path), translated():
        raw.stub.BatchDeleteItems(request)
    client.delete_item(f"{prefix}1")


def calls_of(client: akin.Client) -> list[Any]:
    return [
        lambda: client.upsert_item("1", "text"),
        lambda: list(client.import_items([akin.item("1", "text")])),
        lambda: client.get_item("1"),
        lambda: client.delete_item("1"),
        client.list_items,
        lambda: client.upsert_user("1", ["text"]),
        lambda: client.get_user("1"),
        lambda: client.delete_user("1"),
        lambda: client.recommend_similar(text="text"),
    ]
