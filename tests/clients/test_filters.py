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


def to_json(message: akin.Condition | akin.Filter) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize("value", ["red", "", 1.5, 0, True, False, ["a", 1, False], []])
def test_equals_keeps_the_type(value: Any) -> None:
    """A value keeps its type, also if it is empty, zero or false."""
    assert {"attribute": "size.width", "equals": value} == to_json(equals("size.width", value))
    assert type(value) is not bool or equals("a", value).equals.HasField("bool_value")


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_values_come_from_any_iterable(test: Any) -> None:
    """Values are sent in order, from a list, a tuple or a generator."""
    values = ["red", 2, True]
    expected = {"attribute": "color", test.__name__: values}
    for iterable in (values, tuple(values), (value for value in values)):
        assert expected == to_json(test("color", iterable))


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_an_empty_list_is_sent(test: Any) -> None:
    """A condition without values still has its test, which the server rejects."""
    assert test.__name__ == test("color", []).WhichOneof("test")


@pytest.mark.parametrize("test", [one_of, contains_any])
def test_a_string_is_no_list_of_characters(test: Any) -> None:
    """A single string instead of a list of values raises ValueError."""
    with pytest.raises(ValueError, match="not the string 'red'"):
        test("color", "red")


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_values_are_json(value: Any) -> None:
    """A value that is not a JSON value raises ValueError."""
    for test in (equals, lambda attribute, value: one_of(attribute, [value])):
        with pytest.raises(ValueError, match="Unexpected type"):
            test("a", value)
    with pytest.raises(ValueError, match="Unexpected type"):
        contains_any("a", ["fine", value])


def test_a_range_has_the_given_bounds() -> None:
    """A range has only the bounds that are given, also if a bound is zero."""
    range_ = between("price", gte=0, lt=9.5).range
    assert akin.Range(gte=0.0, lt=9.5) == range_
    assert not range_.HasField("gt")
    assert not range_.HasField("lte")
    assert akin.Range(gt=-1.0, lte=2.0) == between("price", gt=-1, lte=2).range
    assert "range" == between("price").WhichOneof("test")


def test_times_are_seconds() -> None:
    """A time is sent as seconds since 1970 in UTC, with the fraction, from any time zone."""
    start = datetime(1970, 1, 2, 1, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    assert akin.Range(gte=86_400.25) == between("at", gte=start).range
    assert (
        akin.Range(lt=-1.0)
        == between("at", lt=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)).range
    )


@pytest.mark.parametrize("bound", ["gt", "gte", "lt", "lte"])
def test_times_need_a_time_zone(bound: str) -> None:
    """A time without a time zone raises ValueError."""
    naive: dict[str, Any] = {bound: datetime(2026, 5, 4)}  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        between("at", **naive)


def test_exists_has_two_values() -> None:
    """A condition can require that an attribute exists, or that it does not."""
    assert {"attribute": "a", "exists": True} == to_json(exists("a"))
    assert {"attribute": "a", "exists": False} == to_json(exists("a", present=False))


def test_filters_contain_conditions() -> None:
    """Each kind of filter has its own field, with the conditions in order."""
    assert akin.Filter(all=[NEW, CHEAP]) == all_of(NEW, CHEAP)
    assert akin.Filter(any=[NEW, CHEAP]) == any_of(NEW, CHEAP)
    assert akin.Filter(none=[NEW, CHEAP]) == none_of(NEW, CHEAP)


def test_filters_nest() -> None:
    """A filter inside a filter is sent as a condition without an attribute."""
    inner = any_of(NEW, CHEAP)
    nested = akin.Condition(filter=inner)
    for combine, field in ((all_of, "all"), (any_of, "any"), (none_of, "none")):
        assert [nested, NEW] == list(getattr(combine(inner, NEW), field))


def test_any_of_needs_a_condition() -> None:
    """A filter any_of without conditions raises ValueError, because it would match every item."""
    with pytest.raises(ValueError, match="needs a condition"):
        any_of()
    assert akin.Filter() == all_of() == none_of()
