import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

import akin
import grpc
import pytest
from akin.v1 import analysis_service_pb2 as analysis
from akin.v1 import catalog_service_pb2 as catalog
from akin.v1.recommender_service_pb2 import ITEM_VIEW_FULL
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from support.recording import RecordingServer
from support.scripted import Failure
from support.server import WAIT_SECONDS

NEW = akin.filters.equals("state", "new")
ONLY_NEW = akin.Filter(all=[NEW])
MODEL: dict[str, Any] = {
    "provider": "openai",
    "model": "small",
    "dimensions": 256,
    "template": "passage: {text}",
    "query_template": "query: {text}",
}
EMBEDDING = catalog.EmbeddingModel(**MODEL)
FULL_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], Message]] = [
    (
        "create_catalog",
        ("films",),
        {"vector_storage": catalog.VECTOR_STORAGE_FLOAT16, **MODEL},
        catalog.CreateCatalogRequest(
            catalog="films", embedding=EMBEDDING, vector_storage=catalog.VECTOR_STORAGE_FLOAT16
        ),
    ),
    ("get_catalog", ("films",), {}, catalog.GetCatalogRequest(catalog="films")),
    (
        "delete_catalog",
        ("films",),
        {"allow_missing": True},
        catalog.DeleteCatalogRequest(catalog="films", allow_missing=True),
    ),
    (
        "estimate_reembedding",
        ("films",),
        MODEL,
        catalog.EstimateReembeddingRequest(catalog="films", embedding=EMBEDDING),
    ),
    (
        "start_reembedding",
        ("films",),
        MODEL,
        catalog.StartReembeddingRequest(catalog="films", embedding=EMBEDDING),
    ),
    ("get_reembedding", ("films",), {}, catalog.GetReembeddingRequest(catalog="films")),
    ("cancel_reembedding", ("films",), {}, catalog.CancelReembeddingRequest(catalog="films")),
    ("finish_reembedding", ("films",), {}, catalog.FinishReembeddingRequest(catalog="films")),
    (
        "find_duplicates",
        (),
        {"item_id": "a", "min_similarity": 0.0, "where": NEW},
        analysis.FindDuplicatesRequest(
            catalog="books", item_id="a", min_similarity=0.0, filter=ONLY_NEW
        ),
    ),
    (
        "find_outliers",
        (),
        {"limit": 7, "where": NEW, "full": True},
        analysis.FindOutliersRequest(
            catalog="books", limit=7, filter=ONLY_NEW, view=ITEM_VIEW_FULL
        ),
    ),
    (
        "cluster_items",
        (),
        {"cluster_count": 3, "where": NEW, "representative_limit": 2, "point_limit": 9},
        analysis.ClusterItemsRequest(
            catalog="books",
            cluster_count=3,
            filter=ONLY_NEW,
            representative_limit=2,
            point_limit=9,
        ),
    ),
    (
        "classify_text",
        ("the sea", "topic"),
        {"where": NEW, "neighbor_count": 5, "limit": 2, "exclude_item_ids": ["a"]},
        analysis.ClassifyTextRequest(
            catalog="books",
            text="the sea",
            attribute="topic",
            filter=ONLY_NEW,
            neighbor_count=5,
            limit=2,
            exclude_item_ids=["a"],
        ),
    ),
    (
        "search_passages",
        ("the sea",),
        {"limit": 3, "where": NEW, "min_score": 0.0, "passages_per_item": 1, "min_sequence": 9},
        analysis.SearchPassagesRequest(
            catalog="books",
            text="the sea",
            limit=3,
            filter=ONLY_NEW,
            min_score=0.0,
            passages_per_item=1,
            min_sequence=9,
        ),
    ),
]
PLAIN_CALLS: list[tuple[str, tuple[Any, ...], Message]] = [
    ("create_catalog", ("films",), catalog.CreateCatalogRequest(catalog="films")),
    ("get_catalog", (), catalog.GetCatalogRequest(catalog="books")),
    ("get_catalog", ("",), catalog.GetCatalogRequest()),
    ("list_catalogs", (), catalog.ListCatalogsRequest()),
    ("delete_catalog", ("films",), catalog.DeleteCatalogRequest(catalog="films")),
    ("estimate_reembedding", (), catalog.EstimateReembeddingRequest(catalog="books")),
    ("start_reembedding", (), catalog.StartReembeddingRequest(catalog="books")),
    ("get_reembedding", (), catalog.GetReembeddingRequest(catalog="books")),
    ("cancel_reembedding", (), catalog.CancelReembeddingRequest(catalog="books")),
    ("finish_reembedding", (), catalog.FinishReembeddingRequest(catalog="books")),
    ("find_duplicates", (), analysis.FindDuplicatesRequest(catalog="books")),
    ("find_outliers", (), analysis.FindOutliersRequest(catalog="books")),
    ("cluster_items", (), analysis.ClusterItemsRequest(catalog="books")),
    (
        "classify_text",
        ("sea", "topic"),
        analysis.ClassifyTextRequest(catalog="books", text="sea", attribute="topic"),
    ),
    ("search_passages", ("sea",), analysis.SearchPassagesRequest(catalog="books", text="sea")),
]
REEMBEDDING = catalog.Reembedding(item_count=7)
RESULTS: list[tuple[str, tuple[Any, ...], str, Message, Any]] = [
    (
        "create_catalog",
        ("films",),
        "CreateCatalog",
        catalog.CreateCatalogResponse(catalog=akin.Catalog(name="films")),
        akin.Catalog(name="films"),
    ),
    (
        "list_catalogs",
        (),
        "ListCatalogs",
        catalog.ListCatalogsResponse(catalogs=[akin.Catalog(name="films")]),
        [akin.Catalog(name="films")],
    ),
    (
        "start_reembedding",
        (),
        "StartReembedding",
        catalog.StartReembeddingResponse(reembedding=REEMBEDDING),
        REEMBEDDING,
    ),
    (
        "get_reembedding",
        (),
        "GetReembedding",
        catalog.GetReembeddingResponse(reembedding=REEMBEDDING),
        REEMBEDDING,
    ),
    ("delete_catalog", ("films",), "DeleteCatalog", catalog.DeleteCatalogResponse(), None),
    ("cancel_reembedding", (), "CancelReembedding", catalog.CancelReembeddingResponse(), None),
    ("finish_reembedding", (), "FinishReembedding", catalog.FinishReembeddingResponse(), None),
]
PROGRESS = akin.FindDuplicatesResponse(extent=akin.Extent(item_count=2, examined_count=1))
FOUND = akin.FindDuplicatesResponse(groups=[akin.DuplicateGroup()])

Generated = AsyncGenerator[akin.FindDuplicatesResponse, None]
Ask = Callable[..., Awaitable[Any]]


async def ask_blocking(address: str, call: str, *given: Any, **options: Any) -> Any:
    with akin.Client(address, catalog="books", timeout_seconds=20) as client:
        made = getattr(client, call)(*given, **options)
        return list(made) if call == "find_duplicates" else made


async def ask_async(address: str, call: str, *given: Any, **options: Any) -> Any:
    async with akin.AsyncClient(address, catalog="books", timeout_seconds=20) as client:
        made = getattr(client, call)(*given, **options)
        return [each async for each in made] if call == "find_duplicates" else await made


@pytest.fixture(params=[ask_blocking, ask_async])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


@pytest.mark.parametrize(("call", "given", "options", "expected"), FULL_CALLS)
async def test_every_option_goes_out(
    ask: Ask, call: str, given: tuple[Any, ...], options: dict[str, Any], expected: Message
) -> None:
    """A request carries each of its options."""
    with RecordingServer() as server:
        await ask(server.address, call, *given, **options)
    assert [expected] == server.requests


@pytest.mark.parametrize(("call", "given", "expected"), PLAIN_CALLS)
async def test_what_is_not_given_is_absent(
    ask: Ask, call: str, given: tuple[Any, ...], expected: Message
) -> None:
    """A request without options has its catalog, the client's own unless one is named, alone."""
    with RecordingServer() as server:
        await ask(server.address, call, *given)
    assert [expected] == server.requests


@pytest.mark.parametrize(("call", "given", "method", "answer", "expected"), RESULTS)
async def test_answers_are_unwrapped(
    ask: Ask, call: str, given: tuple[Any, ...], method: str, answer: Message, expected: Any
) -> None:
    """A call returns what its answer is about, and nothing where that says nothing."""
    with RecordingServer({method: [answer]}) as server:
        assert expected == await ask(server.address, call, *given)


@pytest.mark.parametrize(
    ("call", "given", "options", "seconds"),
    [
        ("find_duplicates", (), {}, 600),
        ("find_outliers", (), {}, 600),
        ("cluster_items", (), {}, 600),
        ("find_duplicates", (), {"timeout_seconds": 50}, 50),
        ("find_outliers", (), {"timeout_seconds": 50}, 50),
        ("cluster_items", (), {"timeout_seconds": 50}, 50),
        ("classify_text", ("sea", "topic"), {}, 20),
        ("search_passages", ("sea",), {}, 20),
    ],
)
async def test_every_call_has_its_deadline(
    ask: Ask, call: str, given: tuple[Any, ...], options: dict[str, Any], seconds: float
) -> None:
    """What goes through a catalog has minutes or what it is given, all else the client's time."""
    with RecordingServer() as server:
        await ask(server.address, call, *given, **options)
    assert seconds - 10 < server.seconds[0] < seconds + 1


async def test_a_stream_is_all_its_answers(ask: Ask) -> None:
    """The answers of a stream come one by one, in order."""
    with RecordingServer({"FindDuplicates": [PROGRESS, FOUND]}) as server:
        assert [PROGRESS, FOUND] == await ask(server.address, "find_duplicates")


async def test_a_stream_ends_with_its_error(ask: Ask) -> None:
    """The error that ends a stream is decoded like that of any other call."""
    info = error_details_pb2.ErrorInfo(reason="ITEM_NOT_FOUND", domain="akin")
    failure = Failure(grpc.StatusCode.NOT_FOUND, "there is no item a", (info,))
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await ask(server.address, "find_duplicates", item_id="a")
    error = caught.value
    assert (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND") == (error.code, error.reason)
    assert "there is no item a" == error.message


async def test_a_broken_stream_is_not_repeated(ask: Ask) -> None:
    """A stream that breaks is told as broken, and not asked for again."""
    failure = Failure(grpc.StatusCode.UNAVAILABLE)
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await ask(server.address, "find_duplicates")
        assert 1 == len(server.requests)
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code


async def test_a_stream_keeps_its_deadline(ask: Ask) -> None:
    """A stream that does not end in time ends with DEADLINE_EXCEEDED."""
    with RecordingServer(held=True) as server, pytest.raises(akin.AkinError) as caught:
        await ask(server.address, "find_duplicates", timeout_seconds=0.3)
    assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code


async def test_a_stream_that_is_left_ends() -> None:
    """Whoever stops going through a stream ends the call, and the server learns of it."""
    with RecordingServer({"FindDuplicates": [PROGRESS]}, held=True) as server:
        with akin.Client(server.address) as client:
            for _ in client.find_duplicates():
                break
            assert server.left.wait(WAIT_SECONDS)
    with RecordingServer({"FindDuplicates": [PROGRESS]}, held=True) as server:
        async with akin.AsyncClient(server.address) as client_of_loop:
            async with aclosing(cast(Generated, client_of_loop.find_duplicates())) as answers:
                assert PROGRESS == await anext(answers)
            assert await asyncio.to_thread(server.left.wait, WAIT_SECONDS)


def test_a_model_has_known_options_only() -> None:
    """An option that models do not have is refused before anything is sent."""
    options: Any = {"modell": "small"}
    with akin.Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="modell"):
        client.create_catalog("films", **options)
