from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import akin
import pytest
from akin.filters import (
    all_of,
    any_of,
    between,
    contains_any,
    equals,
    exists,
    none_of,
    one_of,
)
from google.protobuf.json_format import MessageToDict

NOT_JSON = [object(), b"bytes", 1j, datetime(2026, 5, 4, tzinfo=UTC), date(2026, 5, 4)]

NEW = equals("state", "new")
CHEAP = between("price", lt=10)


def told(message: akin.Condition | akin.Filter) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize("value", ["red", "", 1.5, 0, True, False, ["a", 1, False], []])
def test_equals_keeps_the_type(value: Any) -> None:
    """A value goes out as what it is, be it empty, zero or false."""
    assert {"attribute": "size.width", "equals": value} == told(equals("size.width", value))
    assert type(value) is not bool or equals("a", value).equals.HasField("bool_value")


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_values_come_from_any_iterable(test: Any) -> None:
    """Several values go out in order, from a list, a tuple or a generator."""
    values = ["red", 2, True]
    expected = {"attribute": "color", test.__name__: values}
    for given in (values, tuple(values), (each for each in values)):
        assert expected == told(test("color", given))


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_no_values_are_no_missing_test(test: Any) -> None:
    """Without values the test is there still, for the server to refuse."""
    assert test.__name__ == test("color", []).WhichOneof("test")


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_a_string_is_not_its_letters(test: Any) -> None:
    """A lone string where a list belongs is refused, rather than taken letter by letter."""
    with pytest.raises(ValueError, match="not the string 'red'"):
        test("color", "red")


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_values_are_json(value: Any) -> None:
    """A value that JSON cannot say is refused."""
    for test in (equals, lambda key, each: one_of(key, [each])):
        with pytest.raises(ValueError, match="Unexpected type"):
            test("a", value)
    with pytest.raises(ValueError, match="Unexpected type"):
        contains_any("a", ["fine", value])


def test_bounds_that_are_not_given_are_absent() -> None:
    """A range has the bounds that are given, zero among them, and no other."""
    both = between("price", gte=0, lt=9.5).range
    assert akin.Range(gte=0.0, lt=9.5) == both
    assert not both.HasField("gt")
    assert not both.HasField("lte")
    assert akin.Range(gt=-1.0, lte=2.0) == between("price", gt=-1, lte=2).range
    assert "range" == between("price").WhichOneof("test")


def test_times_are_seconds() -> None:
    """A time goes out in seconds since 1970 UTC with their fraction, whatever its zone."""
    start = datetime(1970, 1, 2, 1, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    assert akin.Range(gte=86_400.25) == between("at", gte=start).range
    assert (
        akin.Range(lt=-1.0)
        == between("at", lt=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)).range
    )


@pytest.mark.parametrize("bound", ["gt", "gte", "lt", "lte"])
def test_times_need_a_zone(bound: str) -> None:
    """A time without a zone is refused, for nobody knows which one is meant."""
    naive: dict[str, Any] = {bound: datetime(2026, 5, 4)}  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        between("at", **naive)


def test_exists_tells_both_ways() -> None:
    """An attribute may be asked to be there, or not to be."""
    assert {"attribute": "a", "exists": True} == told(exists("a"))
    assert {"attribute": "a", "exists": False} == told(exists("a", present=False))


def test_filters_hold_conditions() -> None:
    """Each way to combine has its own field, with the conditions in order."""
    assert akin.Filter(all=[NEW, CHEAP]) == all_of(NEW, CHEAP)
    assert akin.Filter(any=[NEW, CHEAP]) == any_of(NEW, CHEAP)
    assert akin.Filter(none=[NEW, CHEAP]) == none_of(NEW, CHEAP)


def test_filters_nest() -> None:
    """A filter among the conditions becomes a condition without an attribute."""
    inner = any_of(NEW, CHEAP)
    nested = akin.Condition(filter=inner)
    for combine, field in ((all_of, "all"), (any_of, "any"), (none_of, "none")):
        assert [nested, NEW] == list(getattr(combine(inner, NEW), field))


def test_any_of_nothing_is_refused() -> None:
    """At least one of no conditions is refused, for on the wire it would let everything pass."""
    with pytest.raises(ValueError, match="needs a condition"):
        any_of()
    assert akin.Filter() == all_of() == none_of()
