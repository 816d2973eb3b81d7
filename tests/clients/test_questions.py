from typing import Any

import akin
import pytest
from akin.v1 import recommender_service_pb2 as pb
from support.scripted import ScriptedServer

NEW = akin.filters.equals("state", "new")


async def questions(call: str, options: dict[str, Any]) -> list[Any]:
    """What each of the clients puts on the wire."""
    with ScriptedServer() as server:
        with akin.Client(server.address, catalog="books") as client:
            getattr(client, call)(**options)
        async with akin.AsyncClient(server.address, catalog="books") as client_of_loop:
            await getattr(client_of_loop, call)(**options)
    return server.questions


async def test_every_option_goes_out() -> None:
    """A question carries each of its options, the same from both clients."""
    text = akin.Example(text="the sea", weight=2.0)
    options: dict[str, Any] = {
        "examples": akin.examples(["a", text], ["b"]),
        "limit": 7,
        "where": akin.filters.any_of(NEW, akin.filters.exists("price")),
        "exclude_item_ids": ["c"],
        "min_score": 0.0,
        "diversity": 0.5,
        "max_similarity": 0.0,
        "full": True,
        "min_sequence": 9,
        "exact": True,
        "explain": True,
    }
    expected = pb.RecommendSimilarRequest(
        catalog="books",
        examples=akin.Examples(
            positive=[akin.Example(item_id="a"), text], negative=[akin.Example(item_id="b")]
        ),
        filter=akin.Filter(any=[NEW, akin.Condition(attribute="price", exists=True)]),
        view=pb.ITEM_VIEW_FULL,
        **{key: options[key] for key in options.keys() - {"examples", "where", "full"}},
    )
    assert [expected, expected] == await questions("recommend_similar", options)


async def test_what_is_not_given_is_absent() -> None:
    """A question without options is its source alone, be it without any examples."""
    plain = pb.RecommendSimilarRequest(catalog="books", text="sea")
    assert [plain, plain] == await questions("recommend_similar", {"text": "sea"})
    empty = pb.RecommendSimilarRequest(catalog="books", examples=akin.Examples())
    assert "examples" == empty.WhichOneof("source")
    assert [empty, empty] == await questions("recommend_similar", {"examples": akin.examples()})


@pytest.mark.parametrize(
    ("where", "filter_"),
    [
        (NEW, akin.Filter(all=[NEW])),
        (akin.filters.none_of(NEW), akin.Filter(none=[NEW])),
        (akin.Filter(), akin.Filter()),
        (None, None),
    ],
)
async def test_where_is_the_filter(
    where: akin.Filter | akin.Condition | None, filter_: akin.Filter | None
) -> None:
    """A filter goes out as it is, and a lone condition as a filter that asks for it."""
    listed = pb.ListItemsRequest(catalog="books", page_token="t", filter=filter_)  # noqa: S106
    options = {"page_token": "t", "where": where}
    assert [listed, listed] == await questions("list_items", options)
    question = pb.RecommendSimilarRequest(catalog="books", item_id="1", filter=filter_)
    options = {"item_id": "1", "where": where}
    assert [question, question] == await questions("recommend_similar", options)


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"item_id": "1", "text": "x"},
        {"user_id": "", "text": ""},
        {"user_id": "1", "examples": akin.Examples()},
    ],
)
async def test_exactly_one_source(sources: dict[str, Any]) -> None:
    """A question with no source or several is refused before it is sent."""
    with akin.Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="exactly one"):
        client.recommend_similar(**sources)
    async with akin.AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="exactly one"):
            await client.recommend_similar(**sources)
