from __future__ import annotations

from akin.v1 import filter_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import struct_pb2

from service.api.messages import convert
from service.api.messages.filters import filter_
from service.domain import limits
from service.domain.filters import ContainsAny, count_conditions, filter_violations
from service.domain.recommendations import ExamplesSource
from service.domain.validation import query_violations

MANY = 50_000


def test_of_too_many_conditions_few_are_read() -> None:
    """A filter of far too many conditions, flat or nested, is found so without reading all."""
    flat = filter_pb2.Filter(all=[filter_pb2.Condition()] * MANY)
    nested = filter_pb2.Filter(any=[filter_pb2.Condition(filter=flat)] * 3)
    for message in (flat, nested):
        wanted = filter_(message)
        assert limits.FILTER_CONDITIONS < count_conditions(wanted) <= limits.FILTER_CONDITIONS + 2
        assert ["filter"] == [each.field for each in filter_violations(wanted)]


def test_of_too_many_values_few_are_read() -> None:
    """A test of far too many values is found so without reading all."""
    values = struct_pb2.ListValue(values=[struct_pb2.Value(number_value=1.0)] * MANY)
    condition = filter_pb2.Condition(attribute="a", contains_any=values)
    wanted = filter_(filter_pb2.Filter(all=[condition]))
    test = wanted.all[0].test
    assert isinstance(test, ContainsAny)
    assert limits.FILTER_VALUES + 1 == len(test.values)
    assert ["filter"] == [each.field for each in filter_violations(wanted)]


def test_of_too_long_lists_of_a_query_little_is_read() -> None:
    """Far too many examples and excluded ids are found so without reading all."""
    examples = pb.Examples(positive=[pb.Example(item_id="a")] * MANY)
    request = pb.RecommendSimilarRequest(examples=examples, exclude_item_ids=["a"] * MANY)
    query = convert.query(request)
    assert isinstance(query.source, ExamplesSource)
    assert limits.EXAMPLES + 1 == len(query.source.positive)
    assert limits.EXCLUDED_ITEMS + 1 == len(query.exclude_item_ids)
    assert ["examples", "exclude_item_ids"] == [each.field for each in query_violations(query, 1)]
