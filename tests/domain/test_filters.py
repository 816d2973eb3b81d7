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

EXISTS = Condition("a", Exists(True))


def invalid_fields(filter_: Filter) -> list[str]:
    violations = list(filter_violations(filter_))
    assert all(violation.description for violation in violations)
    return [violation.field for violation in violations]


def invalid_condition_fields(condition: Condition) -> list[str]:
    return invalid_fields(Filter(all=(condition,)))


def nest(levels: int) -> Filter:
    filter_ = Filter(any=(EXISTS,))
    for _ in range(levels - 1):
        filter_ = Filter(none=(Condition("", filter_),))
    return filter_


@given(FILTERS)
def test_valid_filters_have_no_violations(filter_: Filter) -> None:
    """A valid filter is accepted."""
    assert [] == list(filter_violations(filter_))


def test_an_empty_filter_is_accepted() -> None:
    """A filter without conditions is accepted on the first level."""
    assert [] == invalid_fields(Filter())


@pytest.mark.parametrize("group", ["all", "any", "none"])
def test_a_nested_filter_must_have_a_condition(group: str) -> None:
    """A nested filter without conditions is refused on every level, also beside a test."""
    empty = Condition("", Filter())
    path = f"filter.{group}[0].filter"
    assert [path] == invalid_fields(Filter(**{group: (empty,)}))
    assert [path] == invalid_fields(Filter(**{group: (empty, EXISTS)}))
    deeper = Filter(**{group: (Condition("", Filter(any=(EXISTS, empty))),)})
    assert [f"{path}.any[1].filter"] == invalid_fields(deeper)


@pytest.mark.parametrize(
    "value",
    ["", "text", 0.0, -1e308, 1e308, True, False, (), ("a", 1.0, True), ("",)],
)
def test_values_of_equals(value: JsonValue) -> None:
    """Strings, finite numbers, booleans and lists of those are accepted in equals."""
    assert [] == invalid_condition_fields(Condition("a", Equals(value)))


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
def test_other_values_of_equals_are_refused(value: JsonValue) -> None:
    """Null, objects, numbers that are not finite, and lists of those or of lists are refused."""
    assert ["filter.all[0].equals"] == invalid_condition_fields(Condition("a", Equals(value)))


@pytest.mark.parametrize("test", [OneOf, ContainsAny])
@pytest.mark.parametrize("values", [("",), ("a", 1.0, False), (0.0,)])
def test_values_of_one_of_and_contains_any(
    test: type[OneOf | ContainsAny], values: tuple[JsonValue, ...]
) -> None:
    """One or more strings, finite numbers and booleans are accepted in one_of and contains_any."""
    assert [] == invalid_condition_fields(Condition("a", test(values)))


@pytest.mark.parametrize(("test", "name"), [(OneOf, "one_of"), (ContainsAny, "contains_any")])
@pytest.mark.parametrize(
    "values",
    [(), (None,), ("a", {}), (("a",),), ((),), (1.0, math.nan), (math.inf,), ("a", -math.inf)],
)
def test_other_values_of_one_of_and_contains_any_are_refused(
    test: type[OneOf | ContainsAny], name: str, values: tuple[JsonValue, ...]
) -> None:
    """No values, null, objects, lists and numbers that are not finite are refused."""
    assert [f"filter.all[0].{name}"] == invalid_condition_fields(Condition("a", test(values)))


@pytest.mark.parametrize(
    "range_",
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
def test_ranges(range_: Range) -> None:
    """One or two finite bounds are accepted, even if the range is empty."""
    assert [] == invalid_condition_fields(Condition("a", range_))


@pytest.mark.parametrize(
    "range_",
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
def test_other_ranges_are_refused(range_: Range) -> None:
    """No bound, two bounds at one end, and bounds that are not finite are refused."""
    assert ["filter.all[0].range"] == invalid_condition_fields(Condition("a", range_))


def test_every_violation_of_a_range_is_reported() -> None:
    """A range with several violations is refused with each of them."""
    range_ = Range(gt=math.nan, gte=1.0, lt=1.0, lte=math.inf)
    assert ["filter.all[0].range"] * 3 == invalid_condition_fields(Condition("a", range_))


@pytest.mark.parametrize("attribute", ["a", ".", " ", "x" * 1024, "é" * 512, "\x00"])
@pytest.mark.parametrize("test", [Exists(False), Equals(1.0), OneOf((1.0,)), Range(gt=0.0)])
def test_attributes_of_up_to_a_kibibyte(
    attribute: str, test: Exists | Equals | OneOf | Range
) -> None:
    """An attribute of 1 byte to 1 KiB of UTF-8 is accepted with every test."""
    assert [] == invalid_condition_fields(Condition(attribute, test))


@pytest.mark.parametrize("attribute", ["", "x" * 1025, "é" * 512 + "x", "🙂" * 257])
@pytest.mark.parametrize("test", [Exists(False), Equals(1.0), ContainsAny((1.0,)), Range(gt=0.0)])
def test_other_attributes_are_refused(
    attribute: str, test: Exists | Equals | ContainsAny | Range
) -> None:
    """An attribute that is empty or longer is refused with every test."""
    assert ["filter.all[0].attribute"] == invalid_condition_fields(Condition(attribute, test))


def test_a_nested_filter_has_no_attribute() -> None:
    """A condition with both an attribute and a nested filter is refused."""
    assert ["filter.all[0].attribute"] == invalid_condition_fields(
        Condition("a", Filter(all=(EXISTS,)))
    )


def test_a_test_is_required() -> None:
    """A condition without a test is refused, whatever its attribute."""
    assert ["filter.all[0].test"] == invalid_condition_fields(Condition("a", None))
    assert ["filter.all[0].attribute", "filter.all[0].test"] == invalid_condition_fields(
        Condition("", None)
    )


def test_every_violation_is_reported() -> None:
    """Each violation on each level is reported with its path."""
    inner = Filter(
        any=(EXISTS, Condition("", OneOf((None,)))),
        none=(Condition("x" * 1025, Range()), EXISTS, Condition("a", ContainsAny(()))),
    )
    filter_ = Filter(
        all=(EXISTS, Condition("a", Equals(None)), Condition("a", None)),
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
    ] == invalid_fields(filter_)


def test_paths_start_with_the_given_prefix() -> None:
    """The path of each violation starts with the path of the filter."""
    filter_ = Filter(any=(Condition("a", None),))
    assert ["request.filter.any[0].test"] == [
        violation.field for violation in filter_violations(filter_, "request.filter")
    ]


@pytest.mark.parametrize(("levels", "expected"), [(8, []), (9, ["filter"]), (40, ["filter"])])
def test_depth_is_limited(levels: int, expected: list[str]) -> None:
    """A filter can have at most 8 levels, including itself."""
    assert expected == invalid_fields(nest(levels))


def test_number_of_conditions_is_limited() -> None:
    """A filter can have at most 100 conditions over all levels and lists."""
    inner = Filter((EXISTS,) * 20, (EXISTS,) * 20, (EXISTS,) * 20)
    largest = Filter((Condition("", inner),), (EXISTS,) * 20, (EXISTS,) * 19)
    assert [] == invalid_fields(largest)
    assert ["filter"] == invalid_fields(Filter((*largest.all, EXISTS), largest.any, largest.none))


@pytest.mark.parametrize("test", [OneOf, ContainsAny, Equals])
def test_number_of_values_is_limited(test: type[OneOf | ContainsAny | Equals]) -> None:
    """A filter can have at most 1,000 values over all levels and tests."""
    values = ("a",) * (limits.FILTER_VALUES - 3)
    inner = Filter(none=(Condition("a", test(values)),))
    conditions = (Condition("a", Equals(True)), Condition("a", OneOf((1.0, 2.0))))
    assert [] == invalid_fields(Filter(conditions, (Condition("", inner),)))
    more = (*conditions, Condition("a", Equals("one more")))
    assert ["filter"] == invalid_fields(Filter(more, (Condition("", inner),)))
