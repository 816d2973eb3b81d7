from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from akin.v1 import catalog_service_pb2, filter_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import struct_pb2

from service import errors
from service.api.messages import catalogs
from service.api.messages.filters import read_filter
from service.api.messages.recommendations import parse_recommend_similar
from service.domain import limits
from service.domain.filters import ContainsAny, count_conditions, filter_violations

MANY = 50_000


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
