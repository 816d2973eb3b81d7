import math

import pytest
from hypothesis import given
from support.filters import FILTERS

from service.domain import limits
from service.domain.filters import (
    Condition,
    ContainsAny,
    Equals,
    Exists,
    Filter,
    OneOf,
    Range,
    filter_violations,
)
from service.domain.items import JsonValue

IS_THERE = Condition("a", Exists(True))


def fields(wanted: Filter) -> list[str]:
    found = list(filter_violations(wanted))
    assert all(each.description for each in found)
    return [each.field for each in found]


def fields_of(condition: Condition) -> list[str]:
    return fields(Filter(all=(condition,)))


def nested(levels: int) -> Filter:
    wanted = Filter(any=(IS_THERE,))
    for _ in range(levels - 1):
        wanted = Filter(none=(Condition("", wanted),))
    return wanted


@given(FILTERS)
def test_good_filters_have_no_violations(wanted: Filter) -> None:
    """A filter that keeps the contract is accepted."""
    assert [] == list(filter_violations(wanted))


@pytest.mark.parametrize("wanted", [Filter(), Filter(all=(Condition("", Filter()),))])
def test_empty_filters_are_accepted(wanted: Filter) -> None:
    """A filter without conditions is accepted, inside another one too."""
    assert [] == fields(wanted)


@pytest.mark.parametrize(
    "value",
    ["", "text", 0.0, -1e308, 1e308, True, False, (), ("a", 1.0, True), ("",)],
)
def test_values_to_equal(value: JsonValue) -> None:
    """Strings, finite numbers, booleans and lists of those may be asked for."""
    assert [] == fields_of(Condition("a", Equals(value)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"a": 1.0},
        math.nan,
        math.inf,
        -math.inf,
        (None,),
        ("a", {}),
        ("a", math.nan),
        (1.0, ()),
        (("a",),),
    ],
)
def test_other_values_cannot_be_equalled(value: JsonValue) -> None:
    """Null, objects, numbers that are not finite, and lists of those or of lists are refused."""
    assert ["filter.all[0].equals"] == fields_of(Condition("a", Equals(value)))


@pytest.mark.parametrize("test", [OneOf, ContainsAny])
@pytest.mark.parametrize("values", [("",), ("a", 1.0, False), (0.0,)])
def test_values_to_be_among(test: type[OneOf | ContainsAny], values: tuple[JsonValue, ...]) -> None:
    """One or more strings, finite numbers and booleans may be offered."""
    assert [] == fields_of(Condition("a", test(values)))


@pytest.mark.parametrize(("test", "name"), [(OneOf, "one_of"), (ContainsAny, "contains_any")])
@pytest.mark.parametrize(
    "values",
    [(), (None,), ("a", {}), (("a",),), ((),), (1.0, math.nan), (math.inf,), ("a", -math.inf)],
)
def test_other_values_cannot_be_among(
    test: type[OneOf | ContainsAny], name: str, values: tuple[JsonValue, ...]
) -> None:
    """No values at all, null, objects, lists and numbers that are not finite are refused."""
    assert [f"filter.all[0].{name}"] == fields_of(Condition("a", test(values)))


@pytest.mark.parametrize(
    "wanted",
    [
        Range(gt=0.0),
        Range(gte=-1e308),
        Range(lt=1e308),
        Range(lte=0.0),
        Range(gt=1.0, lt=2.0),
        Range(gte=1.0, lte=1.0),
        Range(gt=1.0, lte=-1.0),
    ],
)
def test_ranges(wanted: Range) -> None:
    """One or two finite bounds make a range, be it an empty one."""
    assert [] == fields_of(Condition("a", wanted))


@pytest.mark.parametrize(
    "wanted",
    [
        Range(),
        Range(gt=1.0, gte=1.0),
        Range(lt=1.0, lte=2.0),
        Range(gt=math.nan),
        Range(gte=math.inf),
        Range(gt=0.0, lt=math.inf),
        Range(lte=-math.inf),
    ],
)
def test_other_ranges_are_refused(wanted: Range) -> None:
    """No bound, two at one end, and bounds that are not finite are refused."""
    assert ["filter.all[0].range"] == fields_of(Condition("a", wanted))


def test_both_ends_of_a_range_are_named() -> None:
    """A range with everything wrong tells each fault."""
    wanted = Range(gt=math.nan, gte=1.0, lt=1.0, lte=math.inf)
    assert ["filter.all[0].range"] * 3 == fields_of(Condition("a", wanted))


@pytest.mark.parametrize("attribute", ["a", ".", " ", "x" * 1024, "é" * 512, "\x00"])
@pytest.mark.parametrize("test", [Exists(False), Equals(1.0), OneOf((1.0,)), Range(gt=0.0)])
def test_attributes_of_up_to_a_kibibyte(
    attribute: str, test: Exists | Equals | OneOf | Range
) -> None:
    """An attribute's key of 1 byte to 1 KiB of UTF-8 is accepted with every test."""
    assert [] == fields_of(Condition(attribute, test))


@pytest.mark.parametrize("attribute", ["", "x" * 1025, "é" * 512 + "x", "🙂" * 257])
@pytest.mark.parametrize("test", [Exists(False), Equals(1.0), ContainsAny((1.0,)), Range(gt=0.0)])
def test_other_attributes_are_refused(
    attribute: str, test: Exists | Equals | ContainsAny | Range
) -> None:
    """An attribute's key that is empty or longer is refused with every test."""
    assert ["filter.all[0].attribute"] == fields_of(Condition(attribute, test))


def test_filters_go_without_attribute() -> None:
    """A nested filter with an attribute beside it is refused."""
    assert ["filter.all[0].attribute"] == fields_of(Condition("a", Filter(all=(IS_THERE,))))


def test_a_test_is_required() -> None:
    """A condition without a test is refused, whatever its attribute."""
    assert ["filter.all[0].test"] == fields_of(Condition("a", None))
    assert ["filter.all[0].attribute", "filter.all[0].test"] == fields_of(Condition("", None))


def test_every_violation_is_named() -> None:
    """Of many faults on many levels each is told with its path."""
    inner = Filter(
        any=(IS_THERE, Condition("", OneOf((None,)))),
        none=(Condition("x" * 1025, Range()), IS_THERE, Condition("a", ContainsAny(()))),
    )
    wanted = Filter(
        all=(IS_THERE, Condition("a", Equals(None)), Condition("a", None)),
        any=(Condition("too much", inner),),
        none=(Condition("a", Range(gt=0.0, gte=0.0)),),
    )
    assert [
        "filter.all[1].equals",
        "filter.all[2].test",
        "filter.any[0].attribute",
        "filter.any[0].filter.any[1].attribute",
        "filter.any[0].filter.any[1].one_of",
        "filter.any[0].filter.none[0].attribute",
        "filter.any[0].filter.none[0].range",
        "filter.any[0].filter.none[2].contains_any",
        "filter.none[0].range",
    ] == fields(wanted)


def test_paths_start_where_they_are_told_to() -> None:
    """The path of a filter inside another message is the caller's to say."""
    wanted = Filter(any=(Condition("a", None),))
    assert ["over.there.any[0].test"] == [
        each.field for each in filter_violations(wanted, "over.there")
    ]


@pytest.mark.parametrize(("levels", "expected"), [(8, []), (9, ["filter"]), (40, ["filter"])])
def test_depth_is_limited(levels: int, expected: list[str]) -> None:
    """A filter may be 8 levels deep, itself counted, and no deeper."""
    assert expected == fields(nested(levels))


def test_number_of_conditions_is_limited() -> None:
    """A filter may have 100 conditions over all levels and lists, and no more."""
    inner = Filter((IS_THERE,) * 20, (IS_THERE,) * 20, (IS_THERE,) * 20)
    most = Filter((Condition("", inner),), (IS_THERE,) * 20, (IS_THERE,) * 19)
    assert [] == fields(most)
    assert ["filter"] == fields(Filter((*most.all, IS_THERE), most.any, most.none))


@pytest.mark.parametrize("test", [OneOf, ContainsAny, Equals])
def test_number_of_values_is_limited(test: type[OneOf | ContainsAny | Equals]) -> None:
    """A filter may name 1,000 values over all levels and tests, and no more."""
    values = ("a",) * (limits.FILTER_VALUES - 3)
    inner = Filter(none=(Condition("a", test(values)),))
    others = (Condition("a", Equals(True)), Condition("a", OneOf((1.0, 2.0))))
    assert [] == fields(Filter(others, (Condition("", inner),)))
    more = (*others, Condition("a", Equals("one more")))
    assert ["filter"] == fields(Filter(more, (Condition("", inner),)))
