from typing import Any

import akin
import pytest

from service.cli.formats.rows import LineError
from service.cli.import_lines import parse_line, to_message
from service.domain import limits

ITEM: dict[str, Any] = {"id": "a", "text": "tea"}
USER: dict[str, Any] = {"user_id": "ann", "liked": ["a"]}


def problem(line: Any, *, ignore_unknown: bool = False) -> str:
    with pytest.raises(LineError) as caught:
        to_message(parse_line(line, ignore_unknown=ignore_unknown))
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (ITEM | {"metadata": {}}, "metadata: unknown field; did you mean attributes?"),
        (ITEM | {"expires_at": "x"}, "expires_at: unknown field; did you mean expire_time?"),
        (ITEM | {"expiretime": "x"}, "expiretime: unknown field; did you mean expire_time?"),
        (ITEM | {"Text": "x"}, "Text: unknown field; did you mean text?"),
        (ITEM | {"atributes": {}}, "atributes: unknown field; did you mean attributes?"),
        (ITEM | {"embedding": [1]}, "embedding: unknown field; did you mean vectors?"),
        (ITEM | {"vectors": [1, 2]}, "vectors.0: must be a list; vectors.1: must be a list"),
        (ITEM | {"vectors": [["1"]]}, "vectors.0.0: must be a number"),
        (ITEM | {"price": 9}, "price: unknown field; facts about an item belong in attributes"),
        (ITEM | {"user_id": "s"}, "user_id: unknown field; facts about an item"),
        (USER | {"prefs": []}, "prefs: unknown field; did you mean preferences?"),
        ({"user_id": "ann", "likes": ["a"]}, "likes: unknown field; did you mean liked?"),
        (
            {"user_id": "ann", "preferences": [{"text": "x", "wieght": 2}]},
            "preferences.0.wieght: unknown field; did you mean weight?",
        ),
        (USER | {"liked_items": ["b"]}, "liked_items: the same as liked; use only one of them"),
    ],
)
def test_an_unknown_field_is_named_with_the_likely_one(line: Any, message: str) -> None:
    """An unknown field fails its line, and the error names the field that was probably meant."""
    assert problem(line).startswith(message)


def test_a_line_can_have_vectors() -> None:
    """The vectors of a line are those of its item; null is none."""
    line = parse_line(ITEM | {"vectors": [[1, 0.5], [2.0, -3]]})
    assert akin.item("a", "tea", vectors=[[1.0, 0.5], [2.0, -3.0]]) == to_message(line)
    assert akin.item("a", "tea") == to_message(parse_line(ITEM | {"vectors": None}))


def test_an_item_that_is_too_large_to_send_fails_alone() -> None:
    """A line whose message the server would not read is an error that says how large it is."""
    vectors = [[0.5] * (limits.MESSAGE_BYTES // 8)] * 2
    message = problem(ITEM | {"vectors": vectors})
    assert message.startswith("16,777,2"), message
    assert "bytes as a message, and the server reads up to 16,776,192" in message


def test_unknown_fields_can_be_ignored() -> None:
    """With --ignore-unknown, the rest of a line is imported."""
    line = parse_line(ITEM | {"price": 9}, ignore_unknown=True)
    assert akin.item("a", "tea") == to_message(line)


@pytest.mark.parametrize(
    "line", [{"user_id": "ann"}, {"user_id": "ann", "liked": None}, {"user_id": "ann", "age": 3}]
)
@pytest.mark.parametrize("ignore_unknown", [False, True])
def test_a_user_without_content_is_refused(line: Any, ignore_unknown: bool) -> None:
    """A line that would empty a stored user is refused, also if unknown fields are ignored."""
    message = problem(line, ignore_unknown=ignore_unknown)
    assert message.endswith("a user must have preferences or liked")


@pytest.mark.parametrize(
    "line",
    [
        {"user_id": "ann", "item_id": "a"},
        {"userId": 1, "movieId": 2, "rating": 3.5},
        {"user_id": "ann", "item_id": "a", "text": "a review"},
        {"visitor-id": "v", "product_id": "a", "time": 1},
    ],
)
def test_an_interaction_is_no_item(line: Any) -> None:
    """A file that may contain only items and users names an interaction as such."""
    assert problem(line, ignore_unknown=True).startswith("an interaction (user and item)")


def test_liked_items_keep_their_weights() -> None:
    """`liked_items` and `liked` take ids and objects with weights."""
    for name in ("liked", "liked_items"):
        line = {"user_id": "ann", name: ["a", {"item_id": "b", "weight": -2}]}
        likes = [akin.LikedItem(item_id="a", weight=1), akin.LikedItem(item_id="b", weight=-2)]
        assert akin.User(user_id="ann", liked_items=likes) == to_message(parse_line(line))


def test_a_weight_of_zero_is_refused() -> None:
    """The server would store 1 for a weight of 0."""
    line = {"user_id": "ann", "liked": [{"item_id": "b", "weight": 0}]}
    assert "liked.0.weight: must not be 0" == problem(line)


def test_null_is_unset() -> None:
    """An optional field that is null is unset; a null attribute and a required null stay."""
    line = ITEM | {"attributes": None, "expire_time": None}
    assert akin.item("a", "tea") == to_message(parse_line(line))
    line = ITEM | {"attributes": {"brand": None}}
    assert akin.item("a", "tea", {"brand": None}) == to_message(parse_line(line))
    assert problem(ITEM | {"id": None}).startswith("id: ")


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 10**400, 2**64 - 1])
def test_a_number_that_would_be_rounded_is_refused(number: int) -> None:
    """An integer that a double cannot hold fails its line, at any depth."""
    message = problem(ITEM | {"attributes": {"a": [{"b": number}]}})
    assert message.startswith("attributes.a[0].b: the number ")
    assert message.endswith("cannot be stored exactly; use a string")


def test_preferences_can_be_texts() -> None:
    """A preference is an object with a weight, or only its text."""
    line = {"user_id": "ann", "preferences": ["sailing", {"text": "ghosts", "weight": -1}]}
    preferences = [
        akin.Preference(text="sailing", weight=1),
        akin.Preference(text="ghosts", weight=-1),
    ]
    assert akin.User(user_id="ann", preferences=preferences) == to_message(parse_line(line))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": 1}, "id: must be a string; text: is required"),
        ({"user_id": "ann", "liked": [3]}, "liked.0: must be an object"),
        ({"user_id": "ann", "liked": "a"}, "liked: must be a list"),
        (ITEM | {"expire_time": "2030-01-01"}, "expire_time: must have a time zone"),
        ({"items": [ITEM]}, "items: a list of objects; the file must contain only the list"),
        ([ITEM], "not a JSON object"),
    ],
)
def test_a_wrong_value_is_named(line: Any, message: str) -> None:
    """A field with a wrong type, a missing field and a wrapped list are named in plain words."""
    assert problem(line).startswith(message)
