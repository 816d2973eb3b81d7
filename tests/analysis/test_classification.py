import pytest

from service.analysis.classification import compute_labels, list_values
from service.domain.items import JsonValue


def test_near_voters_weigh_more() -> None:
    """One near voter outweighs two far ones, and what is left is for values that none has."""
    found = compute_labels([(0.9, ["a"]), (0.6, ["b"]), (0.6, ["b"])])
    assert ["a", "b"] == [each.value for each in found]
    assert sum(each.probability for each in found) < 1.0


def test_few_voters_are_not_sure() -> None:
    """One voter makes a label half as likely as can be; twenty make it nearly certain."""
    assert pytest.approx(1 / 2) == compute_labels([(0.5, ["a"])])[0].probability
    assert pytest.approx(20 / 21) == compute_labels([(0.5, ["a"])] * 20)[0].probability
    assert [] == compute_labels([])


def test_values_differ_by_kind() -> None:
    """True, 1 and "1" are different values, 1 and 1.0 one; equals come by value."""
    found = compute_labels([(0.5, [True, 1, "1"]), (0.5, [1.0]), (0.5, ["1", "1"])])
    assert [("1", "str"), (1.0, "float"), (True, "bool")] == [
        (each.value, type(each.value).__name__) for each in found
    ]
    assert found[0].probability == found[1].probability


def test_values_are_found_by_path() -> None:
    """Names within an attribute are joined by dots, as they may be in one name."""
    attributes: dict[str, JsonValue] = {
        "a": {"b": ["x", 1.0, None, {"c": 1}], "c.d": True},
        "a.b": "whole",
        "e": None,
    }
    assert {"x", 1.0, "whole"} == set(list_values(attributes, "a.b"))
    assert [True] == list(list_values(attributes, "a.c.d"))
    assert [] == list(list_values(attributes, "e"))
    assert [] == list(list_values(attributes, "a"))
