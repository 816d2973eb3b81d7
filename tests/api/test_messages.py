from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from akin.v1 import catalog_service_pb2, filter_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import field_mask_pb2, struct_pb2, timestamp_pb2
from support.clock import FakeClock

from service import errors
from service.api.messages import catalogs
from service.api.messages.filters import read_filter
from service.api.messages.item_updates import parse_update_item
from service.api.messages.recommendations import parse_recommend_similar
from service.api.messages.users import parse_update_user
from service.domain import limits
from service.domain.filters import ContainsAny, count_conditions, filter_violations
from service.domain.items import Item
from service.domain.users import User

MANY = 50_000

# Fields of an item that are all invalid, by their paths in an update mask.
BAD_FIELDS = {
    "text": item_pb2.Item(text=" "),
    "attributes": item_pb2.Item(attributes=struct_pb2.Struct(fields={"a": struct_pb2.Value()})),
    "attributes.a": item_pb2.Item(attributes=struct_pb2.Struct(fields={"a": struct_pb2.Value()})),
    "expire_time": item_pb2.Item(expire_time=timestamp_pb2.Timestamp(seconds=-5)),
}
GOOD_FIELDS = item_pb2.Item(
    text="a good text",
    attributes=struct_pb2.Struct(fields={"b": struct_pb2.Value(number_value=1.0)}),
    expire_time=timestamp_pb2.Timestamp(seconds=4_000_000_000),
)


def test_of_too_many_conditions_few_are_read() -> None:
    """A filter of far too many conditions, flat or nested, is found so without reading all."""
    flat = filter_pb2.Filter(all=[filter_pb2.Condition()] * MANY)
    nested = filter_pb2.Filter(any=[filter_pb2.Condition(filter=flat)] * 3)
    for message in (flat, nested):
        wanted = read_filter(message)
        assert limits.FILTER_CONDITIONS < count_conditions(wanted) <= limits.FILTER_CONDITIONS + 2
        assert ["filter"] == [each.field for each in filter_violations(wanted)]


def test_of_too_many_values_few_are_read() -> None:
    """A test of far too many values is found so without reading all."""
    values = struct_pb2.ListValue(values=[struct_pb2.Value(number_value=1.0)] * MANY)
    condition = filter_pb2.Condition(attribute="a", contains_any=values)
    wanted = read_filter(filter_pb2.Filter(all=[condition]))
    test = wanted.all[0].test
    assert isinstance(test, ContainsAny)
    assert limits.FILTER_VALUES + 1 == len(test.values)
    assert ["filter"] == [each.field for each in filter_violations(wanted)]


def test_of_too_long_lists_of_a_query_little_is_read() -> None:
    """Too many examples and excluded ids are reported, and only one entry too many is read."""
    examples = pb.Examples(positive=[pb.Example(item_id="a")] * MANY)
    request = pb.RecommendSimilarRequest(examples=examples, exclude_item_ids=["a"] * MANY)
    with pytest.raises(errors.InvalidRequest) as raised:
        parse_recommend_similar(request)
    fields = [violation.field for violation in raised.value.violations]
    assert ["examples", "exclude_item_ids"] == fields


def test_every_violation_of_a_query_is_reported() -> None:
    """A query with several faults is refused with all of them, the catalog's name included."""
    request = pb.RecommendSimilarRequest(
        catalog="NO",
        text=" ",
        limit=-1,
        exclude_item_ids=[""],
        view=99,  # type: ignore[arg-type]  # no such view
        min_sequence=-1,
    )
    with pytest.raises(errors.InvalidRequest) as raised:
        parse_recommend_similar(request)
    fields = {violation.field for violation in raised.value.violations}
    assert {"catalog", "text", "limit", "exclude_item_ids[0]", "view", "min_sequence"} == fields


def update_item(fields: item_pb2.Item, *paths: str) -> pb.UpdateItemRequest:
    """Return an update of the item `i`."""
    request = pb.UpdateItemRequest(update_mask=field_mask_pb2.FieldMask(paths=paths))
    request.item.item_id = "i"
    request.item.MergeFrom(fields)
    return request


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("text", "attributes"),
        ("text", "expire_time"),
        ("attributes", "text"),
        ("attributes", "expire_time"),
        ("attributes.b", "attributes.a"),
        ("attributes.b", "expire_time"),
        ("expire_time", "text"),
        ("expire_time", "attributes"),
    ],
)
def test_an_update_ignores_invalid_fields_outside_of_its_mask(path: str, bad: str) -> None:
    """A field outside of the mask changes nothing and is not validated, even without meaning."""
    stored = Item("i", "the stored text", {"b": 2.0}, 1)
    good = parse_update_item(update_item(GOOD_FIELDS, path), FakeClock())
    fields = item_pb2.Item()
    fields.MergeFrom(GOOD_FIELDS)
    fields.MergeFrom(BAD_FIELDS[bad])
    update = parse_update_item(update_item(fields, path), FakeClock())
    assert good.apply_to(stored) == update.apply_to(stored)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("text", "item.text"),
        ("attributes", "item.attributes.a"),
        ("attributes.a", "item.attributes.a"),
        ("expire_time", "item.expire_time"),
    ],
)
def test_an_update_validates_the_fields_of_its_mask(path: str, field: str) -> None:
    """A field in the mask is validated, whether the mask names it or is `*`."""
    for mask_path in (path, "*"):
        with pytest.raises(errors.InvalidRequest) as raised:
            parse_update_item(update_item(BAD_FIELDS[path], mask_path), FakeClock())
        assert field in {violation.field for violation in raised.value.violations}


def test_an_update_of_a_user_ignores_invalid_fields_outside_of_its_mask() -> None:
    """Preferences and liked items outside of the mask are not validated."""
    bad_preference = user_pb2.Preference(text=" ", weight=float("nan"))
    bad_like = user_pb2.LikedItem(weight=float("inf"))
    request = pb.UpdateUserRequest(user=user_pb2.User(user_id="u", preferences=[bad_preference]))
    request.update_mask.paths.append("liked_items")
    assert User("u", (), ()) == parse_update_user(request).user
    request = pb.UpdateUserRequest(user=user_pb2.User(user_id="u", liked_items=[bad_like]))
    request.update_mask.paths.append("preferences")
    assert User("u", (), ()) == parse_update_user(request).user


READS_OF_CATALOGS = [
    (catalogs.parse_get_catalog, catalog_service_pb2.GetCatalogRequest),
    (catalogs.parse_list_catalogs, catalog_service_pb2.ListCatalogsRequest),
    (catalogs.parse_estimate_reembedding, catalog_service_pb2.EstimateReembeddingRequest),
    (catalogs.parse_get_reembedding, catalog_service_pb2.GetReembeddingRequest),
]


@pytest.mark.parametrize(("parse", "request_class"), READS_OF_CATALOGS)
@pytest.mark.parametrize("min_sequence", [-1, -(2**63)])
def test_a_negative_min_sequence_of_a_catalog_read_is_reported(
    parse: Callable[[Any], object], request_class: type, min_sequence: int
) -> None:
    """Each read of CatalogService refuses a negative min_sequence, and names the field."""
    with pytest.raises(errors.InvalidRequest) as raised:
        parse(request_class(min_sequence=min_sequence))
    assert ["min_sequence"] == [violation.field for violation in raised.value.violations]


@pytest.mark.parametrize(("parse", "request_class"), READS_OF_CATALOGS)
@pytest.mark.parametrize("min_sequence", [0, 1, 2**63 - 1])
def test_other_values_of_min_sequence_are_left_to_the_store(
    parse: Callable[[Any], object], request_class: type, min_sequence: int
) -> None:
    """Parsing accepts any number that is not negative: only the store knows the last write."""
    parse(request_class(min_sequence=min_sequence))


def test_every_violation_of_an_estimate_is_reported() -> None:
    """The name, min_sequence and the model of an estimate are reported together."""
    request = catalog_service_pb2.EstimateReembeddingRequest(
        catalog="NO",
        embedding=catalog_service_pb2.EmbeddingModel(dimensions=-1),
        min_sequence=-1,
    )
    with pytest.raises(errors.InvalidRequest) as raised:
        catalogs.parse_estimate_reembedding(request)
    fields = [violation.field for violation in raised.value.violations]
    assert ["catalog", "min_sequence", "embedding.dimensions"] == fields
