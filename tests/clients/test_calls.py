from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import akin
import pytest
from akin.v1 import analysis_service_pb2 as analysis
from akin.v1 import catalog_service_pb2 as catalog
from akin.v1 import recommender_service_pb2 as recommender
from akin.v1.recommender_service_pb2 import ITEM_VIEW_FULL
from google.protobuf.message import Message
from support.recording import RecordingServer

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
END = datetime(2100, 1, 1, tzinfo=UTC)
ITEM = akin.item("a", "the sea", {"state": "new"})
FULL_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], Message]] = [
    (
        "upsert_item",
        ("a", "the sea", {"state": "new"}),
        {"expire_time": END, "require_indexed": True, "expected_sequence": 0},
        recommender.UpsertItemRequest(
            catalog="books",
            item=akin.item("a", "the sea", {"state": "new"}, END),
            require_indexed=True,
            expected_sequence=0,
        ),
    ),
    (
        "import_items",
        ([ITEM],),
        {"require_indexed": True, "validate_only": True},
        recommender.ImportItemsRequest(
            catalog="books", items=[ITEM], require_indexed=True, validate_only=True
        ),
    ),
    (
        "import_item_batches",
        ([ITEM],),
        {"require_indexed": True, "validate_only": True},
        recommender.ImportItemsRequest(
            catalog="books", items=[ITEM], require_indexed=True, validate_only=True
        ),
    ),
    (
        "delete_item",
        ("a",),
        {"allow_missing": True},
        recommender.DeleteItemRequest(catalog="books", item_id="a", allow_missing=True),
    ),
    (
        "list_items",
        (7, "t"),
        {"where": NEW},
        recommender.ListItemsRequest(
            catalog="books",
            page_size=7,
            page_token="t",  # noqa: S106
            filter=ONLY_NEW,
        ),
    ),
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
    (
        "upsert_item",
        ("a", "sea"),
        recommender.UpsertItemRequest(catalog="books", item=akin.item("a", "sea")),
    ),
    ("import_items", ([ITEM],), recommender.ImportItemsRequest(catalog="books", items=[ITEM])),
    ("get_item", ("a",), recommender.GetItemRequest(catalog="books", item_id="a")),
    ("delete_item", ("a",), recommender.DeleteItemRequest(catalog="books", item_id="a")),
    ("list_items", (), recommender.ListItemsRequest(catalog="books")),
    (
        "upsert_user",
        ("u", ["tea"], ["a"]),
        recommender.UpsertUserRequest(
            catalog="books",
            user=akin.User(
                user_id="u",
                preferences=[akin.Preference(text="tea")],
                liked_items=[akin.LikedItem(item_id="a")],
            ),
        ),
    ),
    ("get_user", ("u",), recommender.GetUserRequest(catalog="books", user_id="u")),
    ("delete_user", ("u",), recommender.DeleteUserRequest(catalog="books", user_id="u")),
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
RESULT = akin.ItemResult(item_id="a")
IMPORTED = akin.ImportItemsResponse(results=[RESULT, RESULT])
RESULTS: list[tuple[str, tuple[Any, ...], str, Message, Any]] = [
    ("import_items", ([ITEM],), "ImportItems", IMPORTED, [RESULT, RESULT]),
    ("import_item_batches", ([ITEM],), "ImportItems", IMPORTED, [IMPORTED]),
    ("get_item", ("a",), "GetItem", recommender.GetItemResponse(item=ITEM), ITEM),
    ("delete_item", ("a",), "DeleteItem", recommender.DeleteItemResponse(sequence=7), 7),
    (
        "get_user",
        ("u",),
        "GetUser",
        recommender.GetUserResponse(user=akin.User(user_id="u")),
        akin.User(user_id="u"),
    ),
    ("delete_user", ("u",), "DeleteUser", recommender.DeleteUserResponse(), None),
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
Ask = Callable[..., Awaitable[Any]]


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
