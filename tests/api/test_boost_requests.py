"""Requests with boosts and groups, and the queries that they become."""

import math
from typing import Any

import pytest
from akin.v1 import filter_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from service import errors
from service.api.messages.recommendations import parse_recommend_similar
from service.domain import limits
from service.domain.boosts import Boost, BoostCurve, Decay, DecayShape, NumberBoost
from service.domain.filters import Condition, Exists, Filter
from service.domain.groups import GroupBy

ON_SALE = filter_pb2.Filter(all=[filter_pb2.Condition(attribute="sale", exists=True)])


def find_violations(**fields: Any) -> list[str]:
    """Return the fields that a request is refused for."""
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_recommend_similar(pb.RecommendSimilarRequest(item_id="i", **fields))
    return [violation.field for violation in caught.value.violations]


def read_boosts(*boosts: pb.Boost) -> tuple[Boost, ...]:
    request = pb.RecommendSimilarRequest(item_id="i", boosts=boosts)
    return parse_recommend_similar(request).boosts


def test_fields_have_defaults() -> None:
    """What a boost or a group does not set has the value that the API documents."""
    query = parse_recommend_similar(pb.RecommendSimilarRequest(item_id="i"))
    assert ((), None) == (query.boosts, query.group_by)
    group_by = pb.GroupBy(attribute="brand")
    grouped = parse_recommend_similar(pb.RecommendSimilarRequest(item_id="i", group_by=group_by))
    assert GroupBy("brand", 1) == grouped.group_by
    assert (
        Boost(Filter(all=(Condition("sale", Exists(True)),)), 1.0),
        Boost(NumberBoost("sales", BoostCurve.RANK, None, None), 1.0),
        Boost(Decay("date", 60.0, None, 0.0, 0.5, DecayShape.EXPONENTIAL), 1.0),
    ) == read_boosts(
        pb.Boost(filter=ON_SALE),
        pb.Boost(number=pb.NumberBoost(attribute="sales")),
        pb.Boost(decay=pb.Decay(attribute="date", scale=60.0)),
    )


def test_all_fields_are_read() -> None:
    """Every field reaches the query, also with the value 0."""
    number = pb.NumberBoost(attribute="sales", curve=pb.BOOST_CURVE_LOG, min=0.0, max=9.0)
    price = pb.Decay(
        attribute="price",
        number=0.0,
        scale=5.0,
        offset=1.0,
        decay=0.25,
        shape=pb.DECAY_SHAPE_LINEAR,
    )
    time = pb.Decay(
        attribute="date",
        time=Timestamp(seconds=90, nanos=500_000_000),
        scale=5.0,
        shape=pb.DECAY_SHAPE_GAUSSIAN,
    )
    assert (
        Boost(NumberBoost("sales", BoostCurve.LOG, 0.0, 9.0), -10.0),
        Boost(Decay("price", 5.0, 0.0, 1.0, 0.25, DecayShape.LINEAR), 0.0),
        Boost(Decay("date", 5.0, 90.5, 0.0, 0.5, DecayShape.GAUSSIAN), 10.0),
    ) == read_boosts(
        pb.Boost(number=number, weight=-10.0),
        pb.Boost(decay=price, weight=0.0),
        pb.Boost(decay=time, weight=10.0),
    )


LINEAR: dict[str, Any] = {"attribute": "n", "curve": pb.BOOST_CURVE_LINEAR}


@pytest.mark.parametrize(
    ("boost", "field"),
    [
        (pb.Boost(), "function"),
        (pb.Boost(filter=filter_pb2.Filter()), "filter"),
        (
            pb.Boost(filter=filter_pb2.Filter(any=[filter_pb2.Condition(attribute="a")])),
            "filter.any[0].test",
        ),
        (pb.Boost(filter=ON_SALE, weight=10.5), "weight"),
        (pb.Boost(filter=ON_SALE, weight=-math.inf), "weight"),
        (pb.Boost(filter=ON_SALE, weight=math.nan), "weight"),
        (pb.Boost(number=pb.NumberBoost()), "number.attribute"),
        (pb.Boost(number=pb.NumberBoost(attribute="n" * 1_025)), "number.attribute"),
        (pb.Boost(number=pb.NumberBoost(attribute="n", min=1.0)), "number.min"),
        (pb.Boost(number=pb.NumberBoost(**LINEAR, max=1.0)), "number.min"),
        (pb.Boost(number=pb.NumberBoost(**LINEAR, min=1.0)), "number.max"),
        (pb.Boost(number=pb.NumberBoost(**LINEAR, min=1.0, max=1.0)), "number.max"),
        (pb.Boost(number=pb.NumberBoost(**LINEAR, min=1.0, max=math.inf)), "number.max"),
        (pb.Boost(number=pb.NumberBoost(**LINEAR, min=-1e308, max=1e308)), "number.max"),
        (pb.Boost(number=pb.NumberBoost(attribute="n", curve=9)), "number.curve"),  # type: ignore[arg-type]
        (pb.Boost(decay=pb.Decay(scale=1.0)), "decay.attribute"),
        (pb.Boost(decay=pb.Decay(attribute="d")), "decay.scale"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=-1.0)), "decay.scale"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=math.inf)), "decay.scale"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=math.nan)), "decay.scale"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, offset=-1.0)), "decay.offset"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, offset=math.nan)), "decay.offset"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, decay=0.0)), "decay.decay"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, decay=1.0)), "decay.decay"),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, number=math.nan)), "decay.number"),
        (
            pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, time=Timestamp(seconds=-1))),
            "decay.time",
        ),
        (pb.Boost(decay=pb.Decay(attribute="d", scale=1.0, shape=9)), "decay.shape"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_boost_is_refused(boost: pb.Boost, field: str) -> None:
    """The violation names the field of the boost."""
    valid = pb.Boost(filter=ON_SALE)
    assert [f"boosts[1].{field}"] == find_violations(boosts=[valid, boost])


def test_the_number_of_boosts_is_limited() -> None:
    """Ten boosts are valid, and of more only their number is reported."""
    assert limits.BOOSTS == len(read_boosts(*[pb.Boost(filter=ON_SALE)] * limits.BOOSTS))
    assert ["boosts"] == find_violations(boosts=[pb.Boost()] * (limits.BOOSTS + 5))


@pytest.mark.parametrize(
    ("group_by", "field"),
    [
        (pb.GroupBy(), "attribute"),
        (pb.GroupBy(attribute="n" * 1_025), "attribute"),
        (pb.GroupBy(attribute="n", max_per_group=-1), "max_per_group"),
        (pb.GroupBy(attribute="n", max_per_group=1_001), "max_per_group"),
    ],
)
def test_an_invalid_group_is_refused(group_by: pb.GroupBy, field: str) -> None:
    """The violation names the field."""
    assert [f"group_by.{field}"] == find_violations(group_by=group_by)
