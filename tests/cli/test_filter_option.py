"""--filter: every filter of the contract, and errors that name the invalid part."""

import json
from typing import Any

import akin
import pytest
from akin import filters
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from service.cli.filter_option import FILTER_EXAMPLE, FilterError, decode_filter
from service.cli.main import app

CONDITIONS = [
    filters.equals("kind", "tea"),
    filters.one_of("size", [1, 2]),
    filters.contains_any("tags", ["new"]),
    filters.between("price", gte=1.5, lt=3),
    filters.exists("year"),
    akin.Condition(filter=filters.any_of(filters.equals("a", [1, "b"]))),
]


def test_each_condition_is_read() -> None:
    """The JSON of a filter with all conditions is that filter again, and so is the example."""
    filter_ = akin.Filter(all=CONDITIONS, any=CONDITIONS[:2], none=CONDITIONS[2:])
    document = MessageToDict(filter_, preserving_proto_field_name=True)
    assert filter_ == decode_filter(json.dumps(document))
    assert filters.all_of(filters.between("price", lt=100)) == decode_filter(FILTER_EXAMPLE)
    assert akin.Filter() == decode_filter("{}")


@pytest.mark.parametrize("levels", [100, 200, 500])
def test_filters_that_are_nested_too_deeply_are_refused(levels: int) -> None:
    """However many levels a filter has, the error is one line."""
    text = '{"all": [{"filter": ' * levels + "{}" + "}]}" * levels
    with pytest.raises(FilterError, match="too many levels"):
        decode_filter(text)


@pytest.mark.parametrize("levels", [90, 200, 500])
def test_values_that_are_nested_too_deeply_are_refused(levels: int) -> None:
    """However many levels a value has, the error is one line."""
    text = '{"all": [{"attribute": "a", "equals": %s}]}'
    with pytest.raises(FilterError, match="too many levels of brackets"):
        decode_filter(text % ("[" * levels + "]" * levels))


@pytest.mark.parametrize("number", ["9007199254740993", "9" * 400, "-" + "9" * 1_400])
@pytest.mark.parametrize(
    ("test", "path"),
    [
        ('"equals": %s', "equals"),
        ('"equals": [1, %s]', "equals[1]"),
        ('"one_of": [1, %s]', "one_of[1]"),
        ('"contains_any": [%s]', "contains_any[0]"),
        ('"range": {"gt": 1, "lt": %s}', "range.lt"),
    ],
)
def test_numbers_that_a_double_cannot_hold_are_refused(number: str, test: str, path: str) -> None:
    """A filter does not compare with another number than the one in it."""
    text = '{"all": [{"attribute": "a", %s}]}'
    with pytest.raises(FilterError) as caught:
        decode_filter(text % test % number)
    assert str(caught.value).startswith(f"all[0].{path}: the number ")
    assert str(caught.value).endswith("cannot be stored exactly; use a string")
    decode_filter(text % test % "9007199254740994")


def condition(**test: Any) -> str:
    return json.dumps({"all": [{"attribute": "a", **test}]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price<5", "not JSON: Expecting value at character 1"),
        ("", "not JSON: Expecting value at character 1"),
        ("[]", "must be an object, in braces, with all, any or none"),
        ('{"price": 5}', "price: unknown field; must be all, any or none"),
        ('{"all": {"attribute": "a"}}', "all: must be a list of conditions, in square brackets"),
        (condition(equal=1), "all[0].equal: unknown field; did you mean equals?"),
        (condition(range={"lt": "2026-05-04"}), "all[0].range.lt: must be a number; a time is in"),
        (condition(range={"below": 4}), "all[0].range.below: unknown field; must be gt, gte, lt"),
        (condition(one_of="b"), "all[0].one_of: must be a list of values, in square brackets"),
        (condition(exists="yes"), "all[0].exists: must be true or false"),
        (condition(), "all[0]: has no test, but must have exactly one of equals, one_of, "),
        (condition(equals=1, exists=True), "all[0]: has equals and exists, but must have exactly"),
        ('{"any": ["a"]}', "any[0]: must be an object, in braces, with attribute, equals, one_of"),
        ('{"all": [{"attribute": 5, "equals": 1}]}', "all[0].attribute: must be the name of an"),
        ('{"all": [{"filter": {"al": []}}]}', "all[0].filter.al: unknown field; did you mean all?"),
    ],
)
def test_the_invalid_part_is_named(text: str, message: str) -> None:
    """The error has the path of the part and what it must be."""
    with pytest.raises(FilterError) as caught:
        decode_filter(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("words", [("list",), ("delete", "--yes")])
def test_an_invalid_filter_ends_the_command(words: tuple[str, ...]) -> None:
    """One line says what is wrong and what a filter looks like; nothing is called."""
    result = CliRunner().invoke(
        app, ["items", *words, "--filter", "[]", "--address", "127.0.0.1:1"]
    )
    assert (2, "") == (result.exit_code, result.stdout)
    assert (
        "akin: --filter: must be an object, in braces, with all, any or none; "
        f"a filter has the form {FILTER_EXAMPLE}\n"
    ) == result.stderr
