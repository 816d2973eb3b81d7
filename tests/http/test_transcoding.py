from __future__ import annotations

from typing import Any

import pytest
from support.security import METHODS

from service import errors
from service.http.json_merging import MAX_CHECKS, MAX_ENTRIES, UnexplainedFailure
from service.http.routes import Route, load_routes
from service.http.transcoding import make_request

ROUTES: dict[tuple[str, str], Route] = {
    (route.method.name, route.verb): route
    for route in load_routes({method.full_name: method for method in METHODS})
}


def make(name: str, values: tuple[bytes, ...], query: bytes = b"", body: bytes = b"") -> Any:
    (route,) = (route for (method, _), route in ROUTES.items() if method == name)
    return make_request(route, values, query, body)


def make_explained(name: str, values: tuple[bytes, ...], query: bytes, body: bytes) -> None:
    try:
        make(name, values, query, body)
    except UnexplainedFailure as failure:
        raise failure.explain() from None


def violations(name: str, values: tuple[bytes, ...], query: bytes = b"", body: bytes = b"") -> Any:
    with pytest.raises(errors.InvalidRequest) as caught:
        make_explained(name, values, query, body)
    return [(violation.field, violation.description) for violation in caught.value.violations]


def test_path_query_and_body_make_one_request() -> None:
    """The path, the query and the body each set their fields."""
    request = make(
        "UpdateItem",
        (b"shop", b"a%2Fb"),
        b"updateMask=expireTime,attributes.inStock&expected_sequence=7&require_indexed=true",
        b'{"text":"A kite","attributes":{"inStock":true}}',
    )
    assert ("shop", "a/b", "A kite") == (request.catalog, request.item.item_id, request.item.text)
    assert ["expire_time", "attributes.inStock"] == list(request.update_mask.paths)
    assert 7 == request.expected_sequence
    assert request.item.attributes["inStock"]


def test_values_in_a_query_are_decoded() -> None:
    """Percent-encoding and plus signs in a query are decoded, and empty pairs mean nothing."""
    request = make("ListInteractions", (b"shop",), b"&userId=a%26b+c&pageSize=5&")
    assert ("a&b c", 5) == (request.user_id, request.page_size)


def test_an_empty_mask_is_a_mask() -> None:
    """A parameter without a value sets an empty mask, which differs from none."""
    assert make("UpdateItem", (b"c", b"a"), b"updateMask=").HasField("update_mask")
    assert not make("UpdateItem", (b"c", b"a")).HasField("update_mask")


def test_the_path_and_the_body_must_agree() -> None:
    """A body may repeat what is in the path, and may not contradict it."""
    same = make("UpsertItem", (b"c", b"a"), b"", b'{"itemId":"a","text":"t"}')
    assert "a" == same.item.item_id
    assert [("item.item_id", "must not differ between the path and the body")] == violations(
        "UpsertItem", (b"c", b"a"), b"", b'{"itemId":"b","text":"t"}'
    )


@pytest.mark.parametrize("value", [b"a%zz", b"a%", b"a%2", b"%FF"])
def test_a_malformed_path_is_refused(value: bytes) -> None:
    """A percent sign without two digits, or bytes that are no UTF-8, are no id."""
    assert ["item_id"] == [place for place, _ in violations("GetItem", (b"c", value))]


def test_values_in_a_path_are_decoded() -> None:
    """Percent-encoding in a path is decoded once, and a plus sign stays one."""
    assert "a%2F+é" == make("GetItem", (b"c", b"a%252F+%C3%A9")).item_id


def test_an_empty_catalog_is_not_the_default_one() -> None:
    """A path without the name of a catalog is refused, although gRPC would take the default one."""
    assert [("catalog", "must be named in the path")] == violations("DeleteCatalog", (b"",))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"updateMask=a&updateMask=b", "update_mask"),
        (b"item.text=x", "item.text"),
        (b"catalog=x", "catalog"),
        (b"expectedSequence=1.5", "expected_sequence"),
        (b"expectedSequence=99999999999999999999", "expected_sequence"),
        (b"requireIndexed=1", "require_indexed"),
        (b"%FF=1", "query"),
        (b"updateMask=%zz", "query"),
        (b"updateMask=%", "query"),
        (b"expectedSequence=1_0", "expected_sequence"),
        (b"expectedSequence=%2B5", "expected_sequence"),
        (b"expectedSequence=5%0A", "expected_sequence"),
        (b"expectedSequence=1.0", "expected_sequence"),
        (b"expectedSequence=1e2", "expected_sequence"),
        (b"expectedSequence=%D9%A1", "expected_sequence"),
        (b"expectedSequence=", "expected_sequence"),
        (b"updateMask=text&update_mask=attributes", "update_mask"),
        (b"expectedSequence=1&expected_sequence=1", "expected_sequence"),
        (b"nested.unheard=1", "nested.unheard"),
    ],
)
def test_an_invalid_parameter_is_refused(query: bytes, field: str) -> None:
    """A parameter that cannot be set is refused with the path of its field."""
    assert [field] == [place for place, _ in violations("UpdateItem", (b"c", b"a"), query)]


def test_all_violations_of_a_body_are_named() -> None:
    """Each invalid field is named with what it must be, and no value is quoted."""
    body = (
        b'{"text":7,"limit":"secret","excludeItemIds":["a",1],"ranking":"secret",'
        b'"filter":{"all":[{"attribute":"a","range":{"min":"secret"}},{"secret":1}]},'
        b'"boosts":[1],"examples":{"examples":[{"itemId":"a","text":"b"}]}}'
    )
    found = violations("RecommendSimilar", (b"c",), b"", body)
    assert {
        "text",
        "limit",
        "exclude_item_ids[1]",
        "ranking",
        "filter.all[0].range.min",
        "filter.all[1].secret",
        "boosts[0]",
    } <= {place for place, _ in found}
    assert not any("secret" in description for _, description in found)


def test_methods_without_a_body_refuse_one() -> None:
    """A body that would be ignored is refused."""
    assert [("body", "must be empty for DELETE")] == violations(
        "DeleteUser", (b"c", b"a"), b"", b"{}"
    )


@pytest.mark.parametrize("part", [b"[],", b"{},", b"1,"])
def test_a_document_of_too_many_values_is_not_read(part: bytes) -> None:
    """A document that would take much memory as Python objects is refused by its size."""
    body = b'{"filter":[' + part * 3_000_001 + b"1]}"
    ((field, description),) = violations("RecommendSimilar", (b"c",), b"", body)
    assert "body" == field
    assert "at most" in description


def test_an_explanation_of_a_large_document_is_short() -> None:
    """A document with many invalid values is refused with the first ones."""
    ids = ",".join(["1"] * 50_000).encode()
    found = violations("BatchGetItems", (b"c",), b"", b'{"itemIds":[' + ids + b"]}")
    assert 100 == len(found)
    assert ("item_ids[0]", "must be a string of Unicode characters") == found[0]
    valid = ",".join(['"a"'] * 50_000).encode()
    found = violations("BatchGetItems", (b"c",), b"", b'{"itemIds":[' + valid + b",1]}")
    assert [("item_ids[50000]", "must be a string of Unicode characters")] == found
    numbers = ",".join(["0.5"] * MAX_CHECKS).encode()
    found = violations(
        "UpsertItem", (b"c", b"a"), b"", b'{"vectors":[{"values":[' + numbers + b',"x"]}]}'
    )
    assert [("item", "must be the JSON form of akin.v1.Item, without deep nesting")] == found


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("BatchGetItems", b'{"itemIds":[%b]}', "item_ids"),
        ("UpsertItem", b'{"vectors":[{"values":[1]},{"values":[%b]}]}', "item.vectors[1].values"),
        ("UpsertItem", b'{"attributes":{"a":1,"b":{"c":[[%b]]}}}', "item.attributes"),
    ],
)
def test_a_list_longer_than_any_may_be_is_not_converted(name: str, body: bytes, field: str) -> None:
    """A list with more entries than any list of the contract is refused before it is converted."""
    entries = ",".join(["1"] * (MAX_ENTRIES + 1)).encode()
    values = (b"c", b"a") if name == "UpsertItem" else (b"c",)
    description = f"must have at most {MAX_ENTRIES} entries"
    assert [(field, description)] == violations(name, values, b"", body % entries)


@pytest.mark.parametrize(
    "number",
    [
        b"12345678901234567890",
        b"9007199254740993",
        b"-9007199254740993",
        b"9007199254740993.0",
        b"1e400",
        b"1e-400",
        b"1" + b"0" * 400,
        b"1" + b"0" * 5_000,
    ],
)
def test_a_number_that_would_change_is_refused(number: bytes) -> None:
    """A number that no double holds is refused with its place, also as part of a list."""
    body = b'{"text":"t","attributes":{"sku":%b,"sizes":[1,{"max":%b}]}}' % (number, number)
    description = "must be a number that can be stored exactly; use a string"
    assert [
        ("item.attributes.sku", description),
        ("item.attributes.sizes[1].max", description),
    ] == violations("UpsertItem", (b"c", b"a"), b"", body)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (b"0", 0),
        (b"-0.0", 0),
        (b"0e5", 0),
        (b"0.1", 0.1),
        (b"5e-324", 5e-324),
        (b"1e22", 1e22),
        (b"9007199254740992", 2.0**53),
        (b"9007199254740992.0", 2.0**53),
        (b"10000000000000000000000", 1e22),
    ],
)
def test_a_number_of_a_double_is_stored(literal: bytes, value: float) -> None:
    """A number that a double holds, or comes nearest to, is part of the request."""
    body = b'{"text":"t","attributes":{"a":%b}}' % literal
    assert value == make("UpsertItem", (b"c", b"a"), b"", body).item.attributes["a"]


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        (b'{"text":"\\ud800"}', "item.text", "half of a surrogate pair"),
        (b'{"attributes":{"a":["x\\uDFFF"]}}', "item.attributes.a[0]", "half of a surrogate pair"),
        (b'{"secret\\ud800":1}', "item", "a name with half of a surrogate pair"),
        (b'{"attributes":{"secret\\ud800":1}}', "item.attributes", "a name with half of a"),
        (b'{"itemId":NaN}', "item.item_id", "must not be NaN"),
        (b'{"attributes":{"a":-Infinity}}', "item.attributes.a", "must not be NaN"),
        (b'{"attributes":{"a":1,"b":{"c":1,"c":1}}}', "item.attributes.b.c", "must be given once"),
        (b'{"text":"a","text":"a"}', "item.text", "must be given once"),
        (b'{"text":"\xff"}', "body", "UTF-8"),
        (b"[" * 100_000, "body", "deep nesting"),
        (b'{"text":"secret}', "body", "must be JSON"),
    ],
)
def test_what_json_cannot_say_is_refused(body: bytes, field: str, problem: str) -> None:
    """Text that is no JSON, or that readers understand differently, is refused with its place."""
    ((place, description),) = violations("UpsertItem", (b"c", b"a"), b"", body)
    assert field == place
    assert problem in description
    assert "secret" not in description


def test_a_name_of_a_map_can_be_no_half_of_a_pair() -> None:
    """A name in a map is refused like a name of a field."""
    assert ["settings.interaction_weights"] == [
        place
        for place, _ in violations(
            "UpdateCatalog",
            (b"c",),
            b"updateMask=interactionWeights",
            b'{"interactionWeights":{"secret\\ud800":1}}',
        )
    ]


def test_whole_pairs_are_characters() -> None:
    """A pair of surrogates is one character, and an escaped backslash begins no surrogate."""
    body = b'{"text":"\\ud83d\\ude00","attributes":{"\\ud83d\\ude00":"\\\\ud800"}}'
    item = make("UpsertItem", (b"c", b"a"), b"", body).item
    assert ("\U0001f600", "\\ud800") == (item.text, item.attributes["\U0001f600"])


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("UpsertItem", b'{"itemId":"a","item_id":"a"}', "item.item_id"),
        ("UpsertItem", b'{"expireTime":null,"expire_time":null}', "item.expire_time"),
        ("BatchGetItems", b'{"itemIds":["a"],"item_ids":["b"]}', "item_ids"),
        (
            "RecommendSimilar",
            b'{"groupBy":{"maxPerGroup":1,"max_per_group":2}}',
            "group_by.max_per_group",
        ),
    ],
)
def test_a_field_under_both_names_is_refused(name: str, body: bytes, field: str) -> None:
    """A field under both of its names is refused, on each level, instead of one value."""
    values = (b"c", b"a") if name == "UpsertItem" else (b"c",)
    description = "must be given once, under one of its names"
    assert [(field, description)] == violations(name, values, b"", body)


def test_names_of_attributes_are_not_names_of_fields() -> None:
    """Attributes whose names are two forms of the same words are two attributes."""
    body = b'{"attributes":{"inStock":1,"in_stock":2}}'
    attributes = make("UpsertItem", (b"c", b"a"), b"", body).item.attributes
    assert {"inStock": 1, "in_stock": 2} == dict(attributes)
