"""Calls of RecommenderService through the clients, with the requests and results to expect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import akin
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message


class ClientCall(NamedTuple):
    """A call of a client's method, and the request that it sends.

    Attributes:
        method: name of the method.
        arguments: positional arguments.
        options: keyword options.
        request: the request to expect.
    """

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    request: Message


class ClientResult(NamedTuple):
    """A call of a client's method, and the result that it returns.

    Attributes:
        method: name of the method.
        arguments: positional arguments.
        responses: by name of the RPC, its responses.
        result: the result to expect; a list for a stream.
    """

    method: str
    arguments: tuple[Any, ...]
    responses: dict[str, list[Message]]
    result: Any


NEW = akin.filters.equals("state", "new")
ONLY_NEW = akin.Filter(all=[NEW])
END = datetime(2100, 1, 1, tzinfo=UTC)
ITEM = akin.item("a", "the sea", {"state": "new"})
USER = akin.user("u", ["tea"], ["a"])
SEA = akin.Example(text="the sea", weight=2.0)
RECOMMEND_OPTIONS: dict[str, Any] = {
    "limit": 7,
    "exclude_item_ids": ["c"],
    "min_score": 0.0,
    "diversity": 0.5,
    "max_similarity": 0.0,
    "group_by": akin.GroupBy(attribute="brand", max_per_group=2),
    "boosts": [
        akin.Boost(filter=ONLY_NEW, weight=0.0),
        akin.Boost(decay=akin.Decay(attribute="date", scale=86_400.0)),
    ],
    "explain": True,
    "exact": True,
    "relation": pb.RELATION_BOTH,
    "new_item_boost": 0.0,
    "include_vectors": True,
    "lexical_weight": 0.0,
    "fallback": pb.FALLBACK_POPULAR,
    "min_sequence": 9,
}

CALLS_WITH_OPTIONS = [
    ClientCall(
        "upsert_item",
        ("a", "the sea", {"state": "new"}),
        {
            "expire_time": END,
            "vectors": [[0.5, 1.0]],
            "require_indexed": True,
            "expected_sequence": 0,
        },
        pb.UpsertItemRequest(
            catalog="books",
            item=akin.item("a", "the sea", {"state": "new"}, END, [[0.5, 1.0]]),
            require_indexed=True,
            expected_sequence=0,
        ),
    ),
    ClientCall(
        "update_item",
        ("a",),
        {
            "text": "the sea",
            "attributes": {"price": 79},
            "expire_time": END,
            "vectors": ([1.0, 2.0], [3.0, 4.0]),
            "update_mask": ["text", "attributes.price", "expire_time", "vectors"],
            "require_indexed": True,
            "expected_sequence": 9,
        },
        pb.UpdateItemRequest(
            catalog="books",
            item=akin.item("a", "the sea", {"price": 79}, END, [[1.0, 2.0], [3.0, 4.0]]),
            update_mask=FieldMask(paths=["text", "attributes.price", "expire_time", "vectors"]),
            require_indexed=True,
            expected_sequence=9,
        ),
    ),
    *(
        ClientCall(
            method,
            ([ITEM],),
            {"require_indexed": True, "validate_only": True},
            pb.ImportItemsRequest(
                catalog="books", items=[ITEM], require_indexed=True, validate_only=True
            ),
        )
        for method in ("import_items", "import_item_batches")
    ),
    ClientCall(
        "get_item",
        ("a",),
        {"min_sequence": 9, "include_vectors": True},
        pb.GetItemRequest(catalog="books", item_id="a", min_sequence=9, include_vectors=True),
    ),
    ClientCall(
        "batch_get_items",
        (["b", "a"],),
        {"min_sequence": 9, "include_vectors": True},
        pb.BatchGetItemsRequest(
            catalog="books", item_ids=["b", "a"], min_sequence=9, include_vectors=True
        ),
    ),
    ClientCall(
        "list_items",
        (7, "t"),
        {"where": NEW, "min_sequence": 9, "include_vectors": True},
        pb.ListItemsRequest(
            catalog="books",
            page_size=7,
            page_token="t",  # noqa: S106
            filter=ONLY_NEW,
            min_sequence=9,
            include_vectors=True,
        ),
    ),
    ClientCall(
        "delete_item",
        ("a",),
        {"allow_missing": True},
        pb.DeleteItemRequest(catalog="books", item_id="a", allow_missing=True),
    ),
    ClientCall(
        "batch_delete_items",
        (),
        {"where": NEW, "validate_only": True},
        pb.BatchDeleteItemsRequest(catalog="books", filter=ONLY_NEW, validate_only=True),
    ),
    ClientCall(
        "upsert_user",
        ("u", ["tea"], ["a"]),
        {"expected_sequence": 0},
        pb.UpsertUserRequest(catalog="books", user=USER, expected_sequence=0),
    ),
    ClientCall(
        "update_user",
        ("u",),
        {
            "preferences": ["tea"],
            "liked_items": ["a"],
            "update_mask": ["*"],
            "expected_sequence": 9,
        },
        pb.UpdateUserRequest(
            catalog="books", user=USER, update_mask=FieldMask(paths=["*"]), expected_sequence=9
        ),
    ),
    *(
        ClientCall(
            method,
            ([USER],),
            {"validate_only": True},
            pb.ImportUsersRequest(catalog="books", users=[USER], validate_only=True),
        )
        for method in ("import_users", "import_user_batches")
    ),
    ClientCall(
        "get_user",
        ("u",),
        {"min_sequence": 9},
        pb.GetUserRequest(catalog="books", user_id="u", min_sequence=9),
    ),
    ClientCall(
        "list_users",
        (7, "t"),
        {"min_sequence": 9},
        pb.ListUsersRequest(catalog="books", page_size=7, page_token="t", min_sequence=9),  # noqa: S106
    ),
    ClientCall(
        "delete_user",
        ("u",),
        {"allow_missing": True},
        pb.DeleteUserRequest(catalog="books", user_id="u", allow_missing=True),
    ),
    ClientCall(
        "recommend_similar",
        (),
        {
            "examples": akin.examples(["a", SEA], ["b"]),
            "where": akin.filters.any_of(NEW, akin.filters.exists("price")),
            "full": True,
            "exclude_interactions": ["LIKE"],
            **RECOMMEND_OPTIONS,
        },
        pb.RecommendSimilarRequest(
            catalog="books",
            examples=akin.Examples(
                positive=[akin.Example(item_id="a"), SEA], negative=[akin.Example(item_id="b")]
            ),
            filter=akin.Filter(any=[NEW, akin.Condition(attribute="price", exists=True)]),
            view=akin.ItemView.ITEM_VIEW_FULL,
            exclude_interactions=pb.InteractionTypes(types=["LIKE"]),
            **RECOMMEND_OPTIONS,
        ),
    ),
    ClientCall(
        "batch_recommend",
        ([{"user_id": "u", "where": NEW, "full": True}, {"text": "sea", **RECOMMEND_OPTIONS}],),
        {},
        pb.BatchRecommendRequest(
            catalog="books",
            queries=[
                pb.RecommendSimilarRequest(
                    user_id="u", filter=ONLY_NEW, view=akin.ItemView.ITEM_VIEW_FULL
                ),
                pb.RecommendSimilarRequest(text="sea", **RECOMMEND_OPTIONS),
            ],
        ),
    ),
]

CALLS_WITHOUT_OPTIONS = [
    ClientCall(
        "upsert_item",
        ("a", "sea"),
        {},
        pb.UpsertItemRequest(catalog="books", item=akin.item("a", "sea")),
    ),
    ClientCall(
        "update_item",
        ("a",),
        {},
        pb.UpdateItemRequest(catalog="books", item=akin.Item(item_id="a")),
    ),
    ClientCall("import_items", ([ITEM],), {}, pb.ImportItemsRequest(catalog="books", items=[ITEM])),
    ClientCall("get_item", ("a",), {}, pb.GetItemRequest(catalog="books", item_id="a")),
    ClientCall(
        "batch_get_items", (["a"],), {}, pb.BatchGetItemsRequest(catalog="books", item_ids=["a"])
    ),
    ClientCall("list_items", (), {}, pb.ListItemsRequest(catalog="books")),
    ClientCall("delete_item", ("a",), {}, pb.DeleteItemRequest(catalog="books", item_id="a")),
    ClientCall(
        "batch_delete_items",
        (["a"],),
        {},
        pb.BatchDeleteItemsRequest(catalog="books", ids=pb.ItemIds(item_ids=["a"])),
    ),
    ClientCall(
        "upsert_user",
        ("u", ["tea"], ["a"]),
        {},
        pb.UpsertUserRequest(
            catalog="books",
            user=akin.User(
                user_id="u",
                preferences=[akin.Preference(text="tea")],
                liked_items=[akin.LikedItem(item_id="a")],
            ),
        ),
    ),
    ClientCall(
        "update_user",
        ("u",),
        {},
        pb.UpdateUserRequest(catalog="books", user=akin.User(user_id="u")),
    ),
    ClientCall("import_users", ([USER],), {}, pb.ImportUsersRequest(catalog="books", users=[USER])),
    ClientCall("get_user", ("u",), {}, pb.GetUserRequest(catalog="books", user_id="u")),
    ClientCall("list_users", (), {}, pb.ListUsersRequest(catalog="books")),
    ClientCall("delete_user", ("u",), {}, pb.DeleteUserRequest(catalog="books", user_id="u")),
]

ITEM_RESULT = akin.ItemResult(item_id="a")
ITEM_BATCH = akin.ImportItemsResponse(results=[ITEM_RESULT, ITEM_RESULT])
USER_RESULT = akin.UserResult(user_id="u")
USER_BATCH = akin.ImportUsersResponse(results=[USER_RESULT, USER_RESULT])
BATCH_GET = akin.BatchGetItemsResponse(items=[ITEM], missing_item_ids=["b"])

RESULTS = [
    ClientResult("import_items", ([ITEM],), {"ImportItems": [ITEM_BATCH]}, [ITEM_RESULT] * 2),
    ClientResult("import_item_batches", ([ITEM],), {"ImportItems": [ITEM_BATCH]}, [ITEM_BATCH]),
    ClientResult("get_item", ("a",), {"GetItem": [pb.GetItemResponse(item=ITEM)]}, ITEM),
    ClientResult("batch_get_items", (["a", "b"],), {"BatchGetItems": [BATCH_GET]}, BATCH_GET),
    ClientResult("delete_item", ("a",), {"DeleteItem": [pb.DeleteItemResponse(sequence=7)]}, 7),
    ClientResult("import_users", ([USER],), {"ImportUsers": [USER_BATCH]}, [USER_RESULT] * 2),
    ClientResult("import_user_batches", ([USER],), {"ImportUsers": [USER_BATCH]}, [USER_BATCH]),
    ClientResult("get_user", ("u",), {"GetUser": [pb.GetUserResponse(user=USER)]}, USER),
    ClientResult("delete_user", ("u",), {"DeleteUser": [pb.DeleteUserResponse(sequence=7)]}, 7),
]
