import math
from collections.abc import Mapping

import pytest

from service import errors
from service.domain import limits
from service.domain.items import Item, JsonValue
from service.domain.recommendations import ItemSource, Query, Source, TextSource, UserSource
from service.domain.users import LikedItem, Preference, User
from service.domain.validation import (
    catalog_violations,
    id_violations,
    item_violations,
    query_violations,
    text_violations,
    user_violations,
)

NOW_US = 1_700_000_000_000_000


def invalid_item_fields(item: Item) -> list[str]:
    return [violation.field for violation in item_violations(item, "item", NOW_US)]


def invalid_attribute_fields(attributes: Mapping[str, JsonValue]) -> list[str]:
    return invalid_item_fields(Item("a", "text", attributes))


def invalid_user_fields(user: User) -> list[str]:
    return [violation.field for violation in user_violations(user, "user")]


def invalid_query_fields(query: Query) -> list[str]:
    return [violation.field for violation in query_violations(query)]


@pytest.mark.parametrize("name", ["a", "0", "a_-9", "a" * 63])
def test_catalog_names_up_to_the_limit_pass(name: str) -> None:
    """A catalog name of 1 to 63 allowed characters is accepted."""
    assert [] == list(catalog_violations(name))


@pytest.mark.parametrize("name", ["", "a" * 64, "A", "-a", "_a", "a.b", "a b", "a\n", "é"])
def test_other_catalog_names_are_refused(name: str) -> None:
    """A catalog name that is too long or has other characters is refused once."""
    assert ["catalog"] == [violation.field for violation in catalog_violations(name)]


@pytest.mark.parametrize(
    "value", ["a", "a b", "~", "x" * 256, "é" * 128, "\U0001f600" * 64, "\u200b"]
)
def test_ids_up_to_the_limit_pass(value: str) -> None:
    """An id of 1 to 256 bytes of UTF-8 without control characters is accepted."""
    assert [] == list(id_violations(value, "id"))


@pytest.mark.parametrize(
    "value",
    ["", "x" * 257, "é" * 128 + "x", "\U0001f600" * 65, "a\x00", "a\nb", "\x7f", "\x85"],
)
def test_other_ids_are_refused(value: str) -> None:
    """An id that is empty, too long in bytes, or has control characters is refused once."""
    assert ["id"] == [violation.field for violation in id_violations(value, "id")]


@pytest.mark.parametrize("value", ["a", " a ", "x" * limits.TEXT_BYTES, "é" * 524_288])
def test_texts_up_to_the_limit_pass(value: str) -> None:
    """A text of up to 1 MiB of UTF-8 is accepted."""
    assert [] == list(text_violations(value, "text"))


@pytest.mark.parametrize(
    "value", ["", " ", "\n\t\u3000", "x" * (limits.TEXT_BYTES + 1), "é" * 524_288 + "x"]
)
def test_other_texts_are_refused(value: str) -> None:
    """A text that is blank or longer than 1 MiB of UTF-8 is refused once."""
    assert ["text"] == [violation.field for violation in text_violations(value, "text")]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"a": {"b": {"c": {"d": 1.0}}}},
        {"a": [[["x"]]]},
        {"a": {}, "b": [], "c": None, "d": True, "e": -0.5},
        {f"k{n}": 1.0 for n in range(256)},
        {"a": [{f"k{n}": 1.0 for n in range(255)}]},
        {"a": "x" * (limits.ATTRIBUTES_BYTES - len('{"a": ""}'))},
    ],
)
def test_attributes_up_to_the_limits_pass(attributes: Mapping[str, JsonValue]) -> None:
    """Attributes of 4 levels, 256 keys over all levels and 64 KiB as JSON are accepted."""
    assert [] == invalid_attribute_fields(attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": {"b": {"c": {"d": {}}}}},
        {"a": [[[[]]]]},
        {f"k{n}": 1.0 for n in range(257)},
        {"a": [{f"k{n}": 1.0 for n in range(256)}]},
        {"a": "x" * (limits.ATTRIBUTES_BYTES - len('{"a": ""}') + 1)},
        {"a": "é" * (limits.ATTRIBUTES_BYTES // 2)},
    ],
)
def test_attributes_beyond_a_limit_are_refused(attributes: Mapping[str, JsonValue]) -> None:
    """Attributes one level, key or byte beyond a limit are refused once."""
    assert ["item.attributes"] == invalid_attribute_fields(attributes)


def test_every_number_that_is_not_finite_is_reported() -> None:
    """Attributes with numbers that are not finite are refused with the path of each."""
    attributes: dict[str, JsonValue] = {"a": math.nan, "b": {"c": [1.0, math.inf]}, "d": 2.0}
    assert ["item.attributes.a", "item.attributes.b.c[1]"] == invalid_attribute_fields(attributes)


@pytest.mark.parametrize(("delta_us", "fields"), [(1, []), (0, ["item.expire_time"])])
def test_expire_time_lies_in_the_future(delta_us: int, fields: list[str]) -> None:
    """An item can expire one microsecond from now, but not now."""
    assert fields == invalid_item_fields(Item("a", "text", {}, NOW_US + delta_us))


def test_every_violation_of_an_item_is_reported() -> None:
    """An item with several violations is refused with all of them."""
    invalid_item = Item("", " ", {"a": math.inf}, NOW_US - 1)
    expected = ["item.item_id", "item.text", "item.attributes.a", "item.expire_time"]
    assert expected == invalid_item_fields(invalid_item)


@pytest.mark.parametrize(
    ("count", "fields"), [(limits.PREFERENCES, []), (101, ["user.preferences"])]
)
def test_number_of_preferences_is_limited(count: int, fields: list[str]) -> None:
    """A user has at most 100 preferences."""
    assert fields == invalid_user_fields(User("u", (Preference("text"),) * count))


@pytest.mark.parametrize(
    ("count", "fields"), [(limits.LIKED_ITEMS, []), (10_001, ["user.liked_items"])]
)
def test_number_of_liked_items_is_limited(count: int, fields: list[str]) -> None:
    """A user has at most 10,000 liked items."""
    liked = tuple(LikedItem(f"i{n}") for n in range(count))
    assert fields == invalid_user_fields(User("u", (), liked))


@pytest.mark.parametrize("weight", [-1000.0, -1e-9, 1e-9, 1000.0])
def test_weights_up_to_the_limit_pass(weight: float) -> None:
    """Weights between -1000 and 1000 are accepted."""
    assert [] == invalid_user_fields(
        User("u", (Preference("t", weight),), (LikedItem("i", weight),))
    )


@pytest.mark.parametrize("weight", [-1000.001, 1000.001, math.inf, -math.inf, math.nan])
def test_other_weights_are_refused(weight: float) -> None:
    """Weights outside of -1000 to 1000, or NaN, are refused in preferences and liked items."""
    user = User("u", (Preference("t", weight),), (LikedItem("i", weight),))
    assert ["user.preferences[0].weight", "user.liked_items[0].weight"] == invalid_user_fields(user)


def test_every_violation_of_a_user_is_reported() -> None:
    """A user with several violations is refused with all of them, each with its index."""
    user = User(
        "\n",
        (Preference("fine"), Preference("", 2000.0)),
        (LikedItem("a"), LikedItem(""), LikedItem("a", -1001.0)),
    )
    expected = [
        "user.user_id",
        "user.preferences[1].text",
        "user.preferences[1].weight",
        "user.liked_items[1].item_id",
        "user.liked_items[2].weight",
        "user.liked_items[2].item_id",
    ]
    assert expected == invalid_user_fields(user)


@pytest.mark.parametrize(
    "query",
    [
        Query(TextSource("t"), 1),
        Query(TextSource("t"), 1000),
        Query(TextSource("t"), 1, exclude_item_ids=("i",) * 10_000),
        Query(TextSource("t"), 1, min_score=-2.0),
    ],
)
def test_queries_up_to_the_limits_pass(query: Query) -> None:
    """A query at a limit is accepted."""
    assert [] == invalid_query_fields(query)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Query(TextSource("t"), 0), "limit"),
        (Query(TextSource("t"), -1), "limit"),
        (Query(TextSource("t"), 1001), "limit"),
        (Query(TextSource("t"), 1, exclude_item_ids=("i",) * 10_001), "exclude_item_ids"),
        (Query(TextSource("t"), 1, exclude_item_ids=("i", "")), "exclude_item_ids[1]"),
        (Query(TextSource("t"), 1, min_score=math.nan), "min_score"),
        (Query(TextSource("t"), 1, min_score=-math.inf), "min_score"),
    ],
)
def test_queries_beyond_a_limit_are_refused(query: Query, field: str) -> None:
    """A query one step beyond a limit is refused with the field."""
    assert [field] == invalid_query_fields(query)


@pytest.mark.parametrize(
    ("source", "field"),
    [(ItemSource(""), "item_id"), (UserSource("\t"), "user_id"), (TextSource(" "), "text")],
)
def test_sources_are_checked(source: Source, field: str) -> None:
    """An invalid source is refused with the field of its kind."""
    assert [field] == invalid_query_fields(Query(source, 1))


def test_every_violation_of_a_query_is_reported() -> None:
    """A query with several violations is refused with all of them."""
    query = Query(TextSource(""), 0, ("",), math.nan)
    expected = ["text", "limit", "exclude_item_ids[0]", "min_score"]
    assert expected == invalid_query_fields(query)


def test_texts_and_ids_are_never_repeated() -> None:
    """Descriptions of violations contain no text, id or value of the caller."""
    marker = "hush\x07"
    item = Item(marker * 99, " ", {"a": [[[["hush"]]]]})
    user = User(marker, (Preference("hush" * 300_000),), (LikedItem(marker), LikedItem(marker)))
    query = Query(ItemSource(marker), 1, (marker,))
    violations = [
        *catalog_violations(marker),
        *item_violations(item, "item", NOW_US),
        *user_violations(user, "user"),
        *query_violations(query),
    ]
    assert 11 == len(violations)
    assert "hush" not in errors.InvalidRequest(violations).message


def test_an_error_reports_every_violation() -> None:
    """The message of the error has each invalid field and its description."""
    with pytest.raises(errors.InvalidRequest) as caught:
        errors.raise_if_invalid(item_violations(Item("", ""), "item", NOW_US))
    expected = "item.item_id must be 1 to 256 bytes of UTF-8; item.text must not be blank"
    assert expected == caught.value.message


def test_no_violation_is_no_error() -> None:
    """A valid item raises no error."""
    errors.raise_if_invalid(item_violations(Item("a", "text"), "item", NOW_US))
