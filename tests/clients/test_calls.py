from collections.abc import Awaitable, Callable
from typing import Any

import akin
import pytest
from akin.v1 import catalog_service_pb2 as catalogs
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from support import catalog_calls, interaction_calls, recommender_calls
from support.recommender_calls import NEW, ClientCall, ClientResult
from support.recording import RecordingServer

CALLS_WITH_OPTIONS = (
    recommender_calls.CALLS_WITH_OPTIONS
    + catalog_calls.CALLS_WITH_OPTIONS
    + interaction_calls.CALLS_WITH_OPTIONS
)
CALLS_WITHOUT_OPTIONS = (
    recommender_calls.CALLS_WITHOUT_OPTIONS
    + catalog_calls.CALLS_WITHOUT_OPTIONS
    + interaction_calls.CALLS_WITHOUT_OPTIONS
)
RESULTS = recommender_calls.RESULTS + catalog_calls.RESULTS + interaction_calls.RESULTS

TEXT_ONLY = catalogs.SIGNAL_MODE_TEXT

Call = Callable[..., Awaitable[Any]]


async def send(call: Call, method: str, *arguments: Any, **options: Any) -> list[Message]:
    """The requests that a call of a client sends."""
    with RecordingServer() as server:
        await call(server.address, method, *arguments, **options)
    return server.requests


@pytest.mark.parametrize("example", CALLS_WITH_OPTIONS, ids=lambda example: example.method)
async def test_a_request_has_every_option(call: Call, example: ClientCall) -> None:
    """A request carries all options of the call."""
    requests = await send(call, example.method, *example.arguments, **example.options)
    assert [example.request] == requests


@pytest.mark.parametrize("example", CALLS_WITHOUT_OPTIONS, ids=lambda example: example.method)
async def test_a_request_has_no_other_fields(call: Call, example: ClientCall) -> None:
    """A request without options has only its arguments and the catalog of the client."""
    assert [example.request] == await send(call, example.method, *example.arguments)


@pytest.mark.parametrize("example", RESULTS, ids=lambda example: example.method)
async def test_a_result_is_what_the_response_contains(call: Call, example: ClientResult) -> None:
    """A call returns the content of its response, and None for an empty response."""
    with RecordingServer(example.responses) as server:
        assert example.result == await call(server.address, example.method, *example.arguments)


@pytest.mark.parametrize(
    ("options", "item", "paths"),
    [
        ({"text": "sea"}, akin.Item(item_id="a", text="sea"), ["text"]),
        ({"attributes": {"price": 7}}, akin.item("a", "", {"price": 7}), ["attributes"]),
        ({"attributes": {}}, akin.Item(item_id="a"), ["attributes"]),
        ({"attributes": None, "expire_time": None}, akin.Item(item_id="a"), None),
        ({"update_mask": ["attributes.price"]}, akin.Item(item_id="a"), ["attributes.price"]),
        ({"text": "sea", "update_mask": ["*"]}, akin.Item(item_id="a", text="sea"), ["*"]),
    ],
)
async def test_an_item_update_changes_the_given_fields(
    call: Call, options: dict[str, Any], item: akin.Item, paths: list[str] | None
) -> None:
    """The default mask of an item has the fields that are given, also those given to clear them."""
    mask = FieldMask(paths=[*options] if paths is None else paths)
    request = pb.UpdateItemRequest(catalog="books", item=item, update_mask=mask)
    assert [request] == await send(call, "update_item", "a", **options)


@pytest.mark.parametrize(
    ("options", "user", "paths"),
    [
        ({"preferences": ["tea"]}, akin.user("u", ["tea"]), ["preferences"]),
        ({"liked_items": ["a"]}, akin.user("u", liked_items=["a"]), ["liked_items"]),
        ({"liked_items": []}, akin.user("u"), ["liked_items"]),
        ({"update_mask": ["preferences"]}, akin.user("u"), ["preferences"]),
    ],
)
async def test_a_user_update_changes_the_given_fields(
    call: Call, options: dict[str, Any], user: akin.User, paths: list[str]
) -> None:
    """The default mask of a user has the lists that are given, also empty ones."""
    mask = FieldMask(paths=paths)
    request = pb.UpdateUserRequest(catalog="books", user=user, update_mask=mask)
    assert [request] == await send(call, "update_user", "u", **options)


@pytest.mark.parametrize(
    ("options", "settings", "paths"),
    [
        ({"signals": TEXT_ONLY}, catalogs.CatalogSettings(signals=TEXT_ONLY), ["signals"]),
        ({"new_item_boost": 0.0}, None, ["new_item_boost"]),
        ({"signals": None, "interaction_weights": {}}, None, ["signals", "interaction_weights"]),
        ({"update_mask": ["signals"]}, None, ["signals"]),
    ],
)
async def test_a_catalog_update_changes_the_given_settings(
    call: Call,
    options: dict[str, Any],
    settings: akin.CatalogSettings | None,
    paths: list[str],
) -> None:
    """The default mask of a catalog has the settings that are given, also those to reset."""
    mask = FieldMask(paths=paths)
    request = catalogs.UpdateCatalogRequest(catalog="books", settings=settings, update_mask=mask)
    assert [request] == await send(call, "update_catalog", **options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        ((["a"],), {"where": NEW}),
        ((None,), {"where": None}),
    ],
)
async def test_a_batch_delete_needs_one_selector(
    call: Call, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """A batch delete without ids and filter, or with both, raises ValueError and sends nothing."""
    with RecordingServer() as server:
        with pytest.raises(ValueError, match="exactly one of item_ids and where"):
            await call(server.address, "batch_delete_items", *arguments, **options)
    assert [] == server.requests


@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [
        ("batch_get_items", ("ab",), {}),
        ("batch_delete_items", ("ab",), {}),
        ("update_item", ("a",), {"update_mask": "ab"}),
        ("update_user", ("u",), {"update_mask": "ab"}),
        ("update_user", ("u",), {"preferences": "ab"}),
        ("upsert_user", ("u",), {"liked_items": "ab"}),
        ("update_catalog", (), {"update_mask": "ab"}),
        ("recommend_similar", (), {"user_id": "u", "exclude_interactions": "ab"}),
        ("batch_recommend", ([{"user_id": "u", "exclude_interactions": "ab"}],), {}),
    ],
)
async def test_a_string_is_no_list_of_characters(
    call: Call, method: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """A single string instead of a list of strings raises ValueError, and nothing is sent."""
    with RecordingServer() as server:
        with pytest.raises(ValueError, match="not the string 'ab'"):
            await call(server.address, method, *arguments, **options)
    assert [] == server.requests
