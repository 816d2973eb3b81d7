from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import filters as oracle
from support.filters import NO_TIMES, passes
from support.filters import Attributes as Facts

from service.domain.filters import Condition, ContainsAny, Equals, Exists, Filter, OneOf, Range
from service.domain.items import JsonValue
from service.index.attributes import Attributes

pytestmark = pytest.mark.slow

Test = Equals | OneOf | ContainsAny | Range | Exists | Filter

KEYS = st.integers(0, 40)
UPSERTS = st.dictionaries(KEYS, oracle.ATTRIBUTES, max_size=8)
STEPS = st.lists(UPSERTS | st.frozensets(KEYS), max_size=8)
PATHS = ("a", "b", "a.b", "a.b.a", "b.a", "a.", "never")
CHURN = 5_000

YES, NO = True, False
WHOLE, HALF = 1_777_888_800.0, 1_777_888_800.5
DATE = "2026-05-04"


def matching_keys(columns: Attributes, filter_: Filter) -> list[int]:
    """Return the keys that pass."""
    mask = columns.compute_mask(filter_)
    assert np.bool_ == mask.dtype
    return list(map(int, np.flatnonzero(mask)))


def check(columns: Attributes, stored: dict[int, Facts], filters: Iterable[Filter]) -> None:
    assert len(stored) == len(columns)
    for filter_ in filters:
        expected = sorted(key for key, facts in stored.items() if passes(filter_, facts))
        assert expected == matching_keys(columns, filter_), filter_
        assert len(columns.compute_mask(filter_)) > max(stored, default=-1)
    for path in PATHS:
        drawn = columns.get_numbers(path)
        assert np.float64 == drawn.dtype
        there = {key: oracle.number(oracle.reached(stored[key], path)) for key in sorted(stored)}
        numbers = {key: number for key, number in there.items() if number is not None}
        assert list(numbers) == np.flatnonzero(~np.isnan(drawn)).tolist()
        assert list(numbers.values()) == drawn[list(numbers)].tolist()


def apply(columns: Attributes, stored: dict[int, Facts], upserts: dict[int, Facts]) -> None:
    columns.upsert(list(upserts), list(upserts.values()))
    stored.update(upserts)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.lists(oracle.FILTERS, min_size=1, max_size=6))
def test_any_sequence_of_writes(
    steps: list[dict[int, Facts] | frozenset[int]], filters: list[Filter]
) -> None:
    """After any upserts and deletes, the mask of a filter has exactly the keys that pass."""
    columns = Attributes()
    stored: dict[int, Facts] = {}
    for step in steps:
        if isinstance(step, dict):
            apply(columns, stored, step)
        else:
            columns.delete(step)
            stored = {key: facts for key, facts in stored.items() if key not in step}
        check(columns, stored, filters)


@pytest.mark.parametrize("seed", [1, 2])
def test_thousands_of_replacements(seed: int) -> None:
    """Masks stay correct however often attributes are replaced, deleted and set again."""
    random = Random(seed)
    columns = Attributes()
    stored: dict[int, Facts] = {}
    filters = [oracle.random_filter(random) for _ in range(30)]
    for turn in range(CHURN // 50):
        keys = random.sample(range(400), 50)
        apply(columns, stored, {key: oracle.random_attributes(random) for key in keys})
        for key in random.sample(sorted(stored), random.choice((0, 3, 20))):
            columns.delete([key, key, 1_000_000])
            del stored[key]
        if turn % 10 == 9:
            check(columns, stored, filters)


def test_distinct_values_come_and_go() -> None:
    """Thousands of values and attribute names that occurred once leave no trace."""
    columns = Attributes()
    for turn in range(CHURN):
        columns.upsert([turn % 7], [{f"own {turn % 400}": f"value {turn}", "turn": float(turn)}])
    last = range(CHURN - 7, CHURN)
    assert 7 == len(columns)
    for turn in last:
        is_this = Condition(f"own {turn % 400}", Equals(f"value {turn}"))
        assert [turn % 7] == matching_keys(columns, Filter(all=(is_this,)))
    assert sorted(map(float, last)) == sorted(columns.get_numbers("turn").tolist())
    assert [] == matching_keys(columns, Filter(all=(Condition("turn", Range(lt=CHURN - 7.0)),)))
    assert [] == matching_keys(
        columns, Filter(all=(Condition(f"own {last[0] % 400 - 1}", Exists(True)),))
    )


def test_an_empty_index() -> None:
    """Without keys nothing passes, and empty writes are no error."""
    columns = Attributes()
    columns.delete([3])
    columns.upsert([], [])
    assert 0 == len(columns)
    assert [] == matching_keys(columns, Filter())
    assert not np.isfinite(columns.get_numbers("a")).any()


def test_keys_not_held_do_not_pass() -> None:
    """A key that was never set or is deleted passes no filter, not even one with `none`."""
    columns = Attributes()
    columns.upsert([9, 2, 5], [{}, {"a": 1.0}, {}])
    columns.delete([5, 7])
    for filter_, expected in (
        (Filter(), [2, 9]),
        (Filter(none=(Condition("a", Equals(1.0)),)), [9]),
        (Filter(all=(Condition("a", Exists(False)),)), [9]),
    ):
        assert expected == matching_keys(columns, filter_)


def test_an_upsert_replaces_all_attributes() -> None:
    """Replaced attributes no longer count, and a reused key has only its new attributes."""
    columns = Attributes()
    columns.upsert([1, 2], [{"a": 1.0, "b": "x"}, {"a": 1.0}])
    columns.upsert([1], [{"a": 2.0}])
    columns.delete([2])
    columns.upsert([2], [{"b": "y"}])
    assert [2] == matching_keys(columns, Filter(all=(Condition("b", Exists(True)),)))
    assert [] == matching_keys(columns, Filter(all=(Condition("b", Equals("x")),)))
    assert [1] == matching_keys(columns, Filter(all=(Condition("a", Range(gte=0.0)),)))
    np.testing.assert_array_equal([2.0, np.nan], columns.get_numbers("a")[1:])


def judge(facts: Facts, filter_: Filter, expected: bool) -> None:
    columns = Attributes()
    columns.upsert([4], [facts])
    assert [4] * expected == matching_keys(columns, filter_)
    assert expected == passes(filter_, facts)


def judge_test(facts: Facts, path: str, test: Test, expected: bool) -> None:
    judge(facts, Filter(all=(Condition(path, test),)), expected)


IS_A, IS_B = Condition("a", Equals("a")), Condition("b", Equals("b"))
ONLY_A: Facts = {"a": "a"}
BOTH: Facts = {"a": "a", "b": "b"}
COMBINATIONS: list[tuple[Facts, Filter, bool]] = [
    ({}, Filter(), YES),
    (BOTH, Filter(all=(IS_A, IS_B)), YES),
    (ONLY_A, Filter(all=(IS_A, IS_B)), NO),
    (ONLY_A, Filter(any=(IS_A, IS_B)), YES),
    ({}, Filter(any=(IS_A,), none=(IS_B,)), NO),
    (ONLY_A, Filter(none=(IS_A, IS_B)), NO),
    (ONLY_A, Filter(all=(IS_A,), any=(IS_B,)), NO),
    (BOTH, Filter(all=(IS_A,), any=(IS_B,), none=(IS_B,)), NO),
    (ONLY_A, Filter(any=(Condition("", Filter(none=(IS_A,))), IS_B)), NO),
    (BOTH, Filter(none=(Condition("", Filter(none=(IS_A,))),)), YES),
    ({}, Filter(all=(Condition("", Filter()),)), YES),
    ({}, Filter(none=(Condition("", Filter()),)), NO),
    ({}, Filter(any=(Condition("", Filter()), IS_A)), YES),
]


@pytest.mark.parametrize(("facts", "filter_", "expected"), COMBINATIONS)
def test_combinations(facts: Facts, filter_: Filter, expected: bool) -> None:
    """A filter passes if all of `all`, one of `any` (if given) and none of `none` are true."""
    judge(facts, filter_, expected)


TESTS: list[Test] = [
    *(Equals("a"), Equals(0.0), Equals(False), Equals(()), OneOf(("a", 0.0, False, ""))),
    *(ContainsAny(("a", 0.0, False, "")), Range(0.0), Range(lt=1e300), Exists(True)),
]
LACKING: list[Facts] = [{}, {"a": None}, {"b": 1.0}, {"a.c": 1.0}, {"A": "a"}, {"ab": 1.0}]


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("facts", LACKING)
def test_a_missing_attribute_makes_tests_false(facts: Facts, test: Test) -> None:
    """A missing attribute or null makes every test false, so that `none` passes."""
    judge_test(facts, "a", test, NO)
    judge(facts, Filter(none=(Condition("a", test),)), YES)
    judge_test(facts, "a", Exists(False), YES)


ANYTHING: list[JsonValue] = ["", 0.0, False, [], {}, [None], {"b": None}]
VALUES: list[tuple[Test, list[JsonValue], list[JsonValue]]] = [
    (Equals("1"), ["1"], [1.0, True, ["1"], {"1": "1"}, "1 ", ""]),
    (Equals(1.0), [1.0], [True, 1.5, "1", "1.0", [1.0], {}, []]),
    (Equals(True), [True], [1.0, "true", False, [True]]),
    (Equals(False), [False], [True, 0.0, "", [], {}, "false"]),
    (Equals(0.0), [0.0, -0.0], [False, 5e-324]),
    (Equals(float(2**53)), [2.0**53], [2.0**53 + 2, 2.0**53 - 1]),
    (Equals("é"), ["é"], ["e\u0301", "É"]),
    (Equals("a"), ["a"], ["a\x00", "A", "a ", ["a"]]),
    (Equals(DATE), [DATE], [f"{DATE}T00:00:00Z", WHOLE - 36_000]),
    (Equals(("a", 1.0, True)), [["a", 1.0, True]], [["a", True, 1.0], ["a", 1.0], ["a"]]),
    (Equals(("a", "b")), [["a", "b"]], [["b", "a"], ["a", "b", "b"], ["ab"], "a", []]),
    (Equals(("a",)), [["a"]], ["a", '["a"]', "['a']", ["a", None], [["a"]], [{"a": "a"}]]),
    (Equals((0.0,)), [[-0.0]], [[False], [None], [""]]),
    (Equals(()), [[]], ["", {}, 0.0, False, [[]], [None]]),
    (OneOf(("b", 1.0, "a")), ["a", "b", 1.0], [True, "1", ["a"], "ab", {}, ["b", 1.0, "a"]]),
    (OneOf((0.0, "", True)), [0.0, -0.0, "", True], [False, 1.0, [], {}, "true"]),
    (ContainsAny(("b", "c")), [["a", "b"], "b"], ["bc", ["bc"], ["a"], [], {"b": "c"}]),
    (ContainsAny((1.0, "true")), [1.0, ["x", "true"]], [[True, "1"], True, []]),
    (ContainsAny((0.0,)), [[-0.0], -0.0], [False, [False], [""], [None], []]),
    (ContainsAny(("a",)), [[None, "a"]], [[["a"], {"a": "a"}, None]]),
    (Exists(True), ANYTHING, []),
    (Exists(False), [], ANYTHING),
    (Range(gt=2.0), [2.5, 3.0], [1.0, 2.0, -3.0]),
    (Range(gte=2.0), [2.5, 2.0], [1.0, -3.0]),
    (Range(lt=2.0), [1.0, -3.0], [2.0, 2.5]),
    (Range(lte=2.0), [1.0, 2.0], [2.5]),
    (Range(gt=3.0, lt=1.0), [], [0.0, 2.0, 4.0, [0.0, 4.0]]),
    (Range(gte=0.0, lte=0.0), [-0.0, 0.0, "1970-01-01"], [False, "", [], 5e-324]),
    (Range(gte=-1e308, lte=1e308), [0.0, DATE, [0.0]], [True, False, "", "1", {}, [], "x"]),
    (Range(gte=-1e308), [0.0], [[True], ["1"], [{"a": 1.0}], [None], [[]], *NO_TIMES]),
    (Range(gte=WHOLE, lte=WHOLE), [WHOLE, "2026-05-04T12:00:00+02:00"], [DATE]),
    (Range(gte=HALF, lte=HALF), ["2026-05-04t12:00:00.500+02:00"], ["2026-05-04T10:00:00.4999Z"]),
    (Range(gt=0.0, lt=2.0), [[5.0, "x", 1.0]], [[0.0, 3.0], [2.0]]),
    (Range(gt=1e9), [["x", DATE]], [["x", "1970-01-01"]]),
    (Range(gte=1.0), [["x", 1.0]], [["x", [1.0]]]),
]


@pytest.mark.parametrize(("test", "true_of", "false_of"), VALUES)
def test_values(test: Test, true_of: list[JsonValue], false_of: list[JsonValue]) -> None:
    """A test is true for values of its own type and meaning, and false for all others."""
    for value in true_of:
        judge_test({"a": value}, "a", test, YES)
    for value in false_of:
        judge_test({"a": value}, "a", test, NO)


WIDE: Facts = {"size": {"width": 1.0}}
PLACES: list[tuple[str, list[Facts], list[Facts]]] = [
    ("size.width", [WIDE, {"size.width": 1.0}], [{"size": [{"width": 1.0}]}, {"size": 1.0}]),
    ("a.b.c", [{"a": {"b.c": 1.0}}, {"a.b": {"c": 1.0}}], [{"a": {"b": 1.0}, "c": 1.0}]),
    ("size.width.x", [{"size": {"width": {"x": 1.0}}}], [WIDE]),
    ("size.0.width", [{"size": {"0": {"width": 1.0}}}], [{"size": [{"width": 1.0}]}]),
    ("size.", [{"size": {"": 1.0}}, {"size.": 1.0}], [{"size": 1.0}]),
    ("..", [{"..": 1.0}, {"": {"": {"": 1.0}}}], [{".": 1.0}]),
    ("Größe.x", [{"Größe": {"x": 1.0}}], [{"größe": {"x": 1.0}}]),
]
OF_1: list[Test] = [Exists(True), Equals(1.0), OneOf((1.0,)), ContainsAny((1.0,)), Range(gte=1.0)]


@pytest.mark.parametrize("test", OF_1)
@pytest.mark.parametrize(("path", "there", "not_there"), PLACES)
def test_places(path: str, there: list[Facts], not_there: list[Facts], test: Test) -> None:
    """Dots reach into objects and are part of names; objects inside lists are not searched."""
    for facts in there:
        judge_test(facts, path, test, YES)
    for facts in not_there:
        judge_test(facts, path, test, NO)


NUMBERS: list[tuple[JsonValue, float]] = [
    (1.5, 1.5),
    (-0.0, 0.0),
    (DATE, WHOLE - 36_000),
    ("2026-05-04T10:00:00.500000000z", HALF),
    ("1970-01-01T00:00:00.1Z", 0.1),
    ("1969-12-31T23:59:59.75Z", -0.25),
    ("0001-01-01", -62_135_596_800.0),
    ("9999-12-31T23:59:59-23:59", 253_402_387_139.0),
    ("1937-01-01T12:00:27.87+00:20", -1_041_337_172.13),
]
NO_NUMBERS: list[JsonValue] = [True, None, "", "1", [1.0], [DATE], {"a": 1.0}, {}, *NO_TIMES]


@pytest.mark.parametrize(("value", "expected"), NUMBERS)
def test_numbers(value: JsonValue, expected: float) -> None:
    """A number is itself; a timestamp or date is its seconds since 1970."""
    columns = Attributes()
    columns.upsert([3, 5], [{"a": {"b": value}}, {}])
    assert [3] == np.flatnonzero(~np.isnan(columns.get_numbers("a.b"))).tolist()
    assert expected == columns.get_numbers("a.b")[3]
    assert expected == oracle.number(value)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_numbers(value: JsonValue) -> None:
    """A value that is neither a number nor a timestamp has no number, and neither has a list."""
    columns = Attributes()
    columns.upsert([3, 5], [{"a": value}, {"a": 1.0}])
    assert [5] == np.flatnonzero(~np.isnan(columns.get_numbers("a"))).tolist()
    assert oracle.number(value) is None
