from collections.abc import Awaitable, Callable
from typing import Any

import akin
import pytest
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb
from support.recommender_calls import NEW
from support.recording import RecordingServer

Call = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"text": "sea"}, pb.RecommendSimilarRequest(catalog="books", text="sea")),
        ({"item_id": "a"}, pb.RecommendSimilarRequest(catalog="books", item_id="a")),
        ({"user_id": "u"}, pb.RecommendSimilarRequest(catalog="books", user_id="u")),
        (
            {"examples": akin.examples()},
            pb.RecommendSimilarRequest(catalog="books", examples=akin.Examples()),
        ),
        (
            {"vector": [3.0, 4.0]},
            pb.RecommendSimilarRequest(catalog="books", vector=item_pb2.Vector(values=[3.0, 4.0])),
        ),
        (
            {"popular": akin.Popular()},
            pb.RecommendSimilarRequest(catalog="books", popular=akin.Popular()),
        ),
    ],
)
async def test_a_request_without_options_is_its_source(
    call: Call, source: dict[str, Any], expected: pb.RecommendSimilarRequest
) -> None:
    """A request without options has only its source, even if the source has no examples."""
    with RecordingServer() as server:
        await call(server.address, "recommend_similar", **source)
    assert [expected] == server.requests
    assert [*source] == [expected.WhichOneof("source")]


@pytest.mark.parametrize(
    ("where", "filter_"),
    [
        (NEW, akin.Filter(all=[NEW])),
        (akin.filters.none_of(NEW), akin.Filter(none=[NEW])),
        (akin.Filter(), akin.Filter()),
        (None, None),
    ],
)
async def test_where_sets_the_filter(
    call: Call, where: akin.Filter | akin.Condition | None, filter_: akin.Filter | None
) -> None:
    """A filter is sent as it is, and a condition is sent as a filter that requires it."""
    with RecordingServer() as server:
        await call(server.address, "list_items", page_token="t", where=where)  # noqa: S106
        await call(server.address, "recommend_similar", item_id="1", where=where)
    assert [
        pb.ListItemsRequest(catalog="books", page_token="t", filter=filter_),  # noqa: S106
        pb.RecommendSimilarRequest(catalog="books", item_id="1", filter=filter_),
    ] == server.requests


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"item_id": "1", "text": "x"},
        {"user_id": "", "text": ""},
        {"user_id": "1", "examples": akin.Examples()},
        {"text": "x", "popular": akin.Popular()},
    ],
)
async def test_a_request_needs_one_source(call: Call, sources: dict[str, Any]) -> None:
    """A call without a source, or with several, raises ValueError before it is sent."""
    with RecordingServer() as server:
        with pytest.raises(ValueError, match="exactly one"):
            await call(server.address, "recommend_similar", **sources)
    assert [] == server.requests


@pytest.mark.parametrize(
    ("types", "excluded"),
    [
        (["VIEW"], pb.InteractionTypes(types=["VIEW"])),
        ([], pb.InteractionTypes()),
        (None, None),
    ],
)
async def test_an_empty_list_excludes_no_interactions(
    call: Call, types: list[str] | None, excluded: pb.InteractionTypes | None
) -> None:
    """An empty list of types is sent, and None leaves the choice to the server."""
    with RecordingServer() as server:
        await call(server.address, "recommend_similar", user_id="u", exclude_interactions=types)
    assert [
        pb.RecommendSimilarRequest(catalog="books", user_id="u", exclude_interactions=excluded)
    ] == server.requests


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_examples_are_lists(kind: str) -> None:
    """A single string instead of a list of examples raises ValueError."""
    options: dict[str, Any] = {kind: "ab"}
    with pytest.raises(ValueError, match="not the string 'ab'"):
        akin.examples(**options)
