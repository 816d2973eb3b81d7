from typing import Any

import akin
import grpc
import pytest
from akin._errors import decode
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.struct_pb2 import Struct
from support.rejections import RawClient, header_bytes, invalid, translated

NAN, INF = float("nan"), float("inf")
# Clients accept 8 KiB. The id of a call has 16 bytes here, and up to 128 if its caller gives it.
HEADER_BYTES = 8 * 1024 - (128 - 16)


def preference(weight: float) -> akin.Preference:
    return akin.Preference(text="a taste", weight=weight)


def liked(weight: float) -> akin.LikedItem:
    return akin.LikedItem(item_id="1", weight=weight)


BAD_USERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "preference NaN": ({"preferences": [preference(NAN)]}, ["user.preferences[0].weight"]),
    "preference infinite": (
        {"preferences": ["fine", preference(-INF)]},
        ["user.preferences[1].weight"],
    ),
    "preference too heavy": (
        {"preferences": [preference(1000), preference(1000.5)]},
        ["user.preferences[1].weight"],
    ),
    "like NaN": ({"liked_items": [liked(NAN)]}, ["user.liked_items[0].weight"]),
    "like too heavy": ({"liked_items": [liked(-1001)]}, ["user.liked_items[0].weight"]),
    "blank preference": ({"preferences": ["fine", " "]}, ["user.preferences[1].text"]),
    "preference that says nothing": (
        {"preferences": ["🙂", "fine", "🎈"]},
        ["user.preferences[0].text", "user.preferences[2].text"],
    ),
    "101 preferences": ({"preferences": ["fine"] * 101}, ["user.preferences"]),
    "10,001 likes": (
        {"liked_items": [str(number) for number in range(10_001)]},
        ["user.liked_items"],
    ),
    "duplicate like": ({"liked_items": ["1", "2", "1"]}, ["user.liked_items[2].item_id"]),
    "bad like": ({"liked_items": ["1", ""]}, ["user.liked_items[1].item_id"]),
    "everything": (
        {"preferences": [akin.Preference(weight=NAN)], "liked_items": [akin.LikedItem(weight=INF)]},
        [
            "user.preferences[0].text",
            "user.preferences[0].weight",
            "user.liked_items[0].item_id",
            "user.liked_items[0].weight",
        ],
    ),
}


@pytest.mark.parametrize(("tastes", "fields"), BAD_USERS.values(), ids=BAD_USERS.keys())
def test_bad_user_is_refused(
    client: akin.Client, prefix: str, tastes: dict[str, Any], fields: list[str]
) -> None:
    """A user who breaks the contract is refused with every field at fault and not stored."""
    with invalid(*fields):
        client.upsert_user(f"{prefix}u", **tastes)
    with pytest.raises(akin.AkinError) as caught:
        client.get_user(f"{prefix}u")
    assert "USER_NOT_FOUND" == caught.value.reason


def test_user_limits_themselves_are_fine(client: akin.Client, prefix: str) -> None:
    """A user exactly at every limit is stored and gets an answer."""
    client.upsert_user(
        f"{prefix}u",
        [akin.Preference(text=f"taste number {number}", weight=1000) for number in range(100)],
        [akin.LikedItem(item_id=f"{prefix}{n}", weight=-1000) for n in range(10_000)],
    )
    user = client.get_user(f"{prefix}u")
    assert (100, 10_000) == (len(user.preferences), len(user.liked_items))
    answer = client.recommend_similar(user_id=f"{prefix}u")
    assert 10_000 == len(answer.missing_item_ids)


BAD_QUERIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "limit -1": ({"limit": -1}, ["limit"]),
    "limit 1,001": ({"limit": 1001}, ["limit"]),
    "limit 100,000": ({"limit": 100_000}, ["limit"]),
    "min_score NaN": ({"min_score": NAN}, ["min_score"]),
    "min_score infinite": ({"min_score": -INF}, ["min_score"]),
    "blank text": ({"text": " "}, ["text"]),
    "text of 2 MiB": ({"text": "word " * 420_000}, ["text"]),
    "text that says nothing": ({"text": "🙂"}, ["text"]),
    "10,001 excluded": ({"exclude_item_ids": ["1"] * 10_001}, ["exclude_item_ids"]),
    "bad excluded": ({"exclude_item_ids": ["1", "x" * 300]}, ["exclude_item_ids[1]"]),
    "min_sequence -1": ({"min_sequence": -1}, ["min_sequence"]),
    "min_sequence beyond the last": ({"min_sequence": 2**62}, ["min_sequence"]),
    "everything": (
        {
            "text": "",
            "limit": -1,
            "exclude_item_ids": ["", "1", "\n"],
            "min_score": NAN,
            "min_sequence": -1,
        },
        [
            "min_sequence",
            "text",
            "limit",
            "exclude_item_ids[0]",
            "exclude_item_ids[2]",
            "min_score",
        ],
    ),
}


@pytest.mark.parametrize(("query", "fields"), BAD_QUERIES.values(), ids=BAD_QUERIES.keys())
def test_bad_query_is_refused(
    client: akin.Client, query: dict[str, Any], fields: list[str]
) -> None:
    """A question that breaks the contract is refused with every field at fault."""
    with invalid(*fields):
        client.recommend_similar(**({"text": "a text"} | query))


def test_query_limits_themselves_are_fine(client: akin.Client, prefix: str) -> None:
    """A question exactly at every limit is answered."""
    sequence = client.upsert_item(f"{prefix}1", "one thing").item.sequence
    answer = client.recommend_similar(
        text="one thing",
        limit=1000,
        exclude_item_ids=[str(number) for number in range(10_000)],
        min_sequence=sequence,
    )
    assert f"{prefix}1" == answer.recommendations[0].item_id


def test_next_write_is_no_min_sequence(client: akin.Client, prefix: str) -> None:
    """One beyond the last write is refused rather than waited for."""
    sequence = client.upsert_item(f"{prefix}1", "the last write").item.sequence
    with invalid("min_sequence"):
        client.recommend_similar(text="a text", min_sequence=sequence + 1)


def test_no_source(raw: RawClient) -> None:
    """A question without a source is refused."""
    with invalid("source"), translated():
        raw.stub.RecommendSimilar(pb.RecommendSimilarRequest(limit=3))


def test_no_source_hides_nothing(raw: RawClient) -> None:
    """A missing source is named beside all other faults."""
    with invalid("source", "limit"), translated():
        raw.stub.RecommendSimilar(pb.RecommendSimilarRequest(limit=-1))


@pytest.mark.parametrize("token", ["!!!", "abc", "_w==", "é", "=", "Yg==\n"])
def test_bad_page_token(client: akin.Client, token: str) -> None:
    """What is no page token is refused."""
    with invalid("page_token"):
        client.list_items(page_token=token)


@pytest.mark.parametrize("size", [-1, 1001, 2**31 - 1])
def test_bad_page_size(client: akin.Client, size: int) -> None:
    """A page of less than nothing or of too much is refused."""
    with invalid("page_size"):
        client.list_items(page_size=size)


def test_bad_page_token_hides_nothing(client: akin.Client) -> None:
    """A bad page token is named beside a bad page size."""
    with invalid("page_token", "page_size"):
        client.list_items(-1, "!")


def structs() -> dict[str, Struct]:
    faults = {
        "many": {f"attribute_{number}": NAN for number in range(250)},
        "long keys": {f"{'k' * 200}{number}": NAN for number in range(250)},
        "emoji keys": {f"{'🙂' * 40}{number}": NAN for number in range(250)},
        "one very long key": {"k" * 60_000: NAN},
        "one long emoji key": {"🙂" * 2_000: NAN},
    }
    made = {}
    for name, values in faults.items():
        made[name] = Struct()
        made[name].update(values)
    made["value without kind"] = Struct()
    made["value without kind"].fields["🙂%" * 10_000].SetInParent()
    return made


@pytest.mark.parametrize("attributes", structs().values(), ids=structs().keys())
def test_faults_of_any_size_arrive(raw: RawClient, attributes: Struct) -> None:
    """However many and long the violations are, the error arrives, in less than 8 KiB."""
    item = akin.Item(item_id="x", text="fine", attributes=attributes)
    error = raw.refusal(lambda stub: stub.UpsertItem(pb.UpsertItemRequest(item=item)))
    decoded = decode(error)
    assert grpc.StatusCode.INVALID_ARGUMENT == decoded.code
    assert "INVALID_REQUEST" == decoded.reason
    assert decoded.violations[0].field.startswith("item.attributes.")
    assert header_bytes(error) < HEADER_BYTES


def test_ten_thousand_faults_arrive(raw: RawClient) -> None:
    """Of very many violations the first arrive, and the number of the others."""
    request = pb.RecommendSimilarRequest(text="fine", exclude_item_ids=[""] * 10_000)
    error = raw.refusal(lambda stub: stub.RecommendSimilar(request))
    *named, rest = decode(error).violations
    assert [f"exclude_item_ids[{n}]" for n in range(len(named))] == [v.field for v in named]
    assert ("", f"and {10_000 - len(named)} more") == rest
    assert len(named) >= 10
    assert header_bytes(error) < HEADER_BYTES
