import pytest

from service.analysis.classification import probabilities, values
from service.domain.items import JsonValue


def test_near_voters_weigh_more() -> None:
    """One near voter outweighs two far ones, and what is left is for values that none has."""
    found = probabilities([(0.9, ["a"]), (0.6, ["b"]), (0.6, ["b"])])
    assert ["a", "b"] == [each.value for each in found]
    assert sum(each.probability for each in found) < 1.0


def test_few_voters_are_not_sure() -> None:
    """One voter makes a label half as likely as can be; twenty make it nearly certain."""
    assert pytest.approx(1 / 2) == probabilities([(0.5, ["a"])])[0].probability
    assert pytest.approx(20 / 21) == probabilities([(0.5, ["a"])] * 20)[0].probability
    assert [] == probabilities([])


def test_values_differ_by_kind() -> None:
    """True, 1 and "1" are different values, 1 and 1.0 one; equals come by value."""
    found = probabilities([(0.5, [True, 1, "1"]), (0.5, [1.0]), (0.5, ["1", "1"])])
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
    assert {"x", 1.0, "whole"} == set(values(attributes, "a.b"))
    assert [True] == list(values(attributes, "a.c.d"))
    assert [] == list(values(attributes, "e"))
    assert [] == list(values(attributes, "a"))
