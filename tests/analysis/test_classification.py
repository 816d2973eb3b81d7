import pytest

from service.analysis.classification import compute_labels, list_values
from service.domain.items import JsonValue


def test_nearer_neighbors_weigh_more() -> None:
    """One near neighbor outweighs two far ones, and other values have the remaining probability."""
    labels = compute_labels([(0.9, ["a"]), (0.6, ["b"]), (0.6, ["b"])])
    assert ["a", "b"] == [label.value for label in labels]
    assert sum(label.probability for label in labels) < 1.0


def test_few_neighbors_give_no_certainty() -> None:
    """The label of one neighbor has probability 1/2, and that of twenty nearly 1."""
    assert pytest.approx(1 / 2) == compute_labels([(0.5, ["a"])])[0].probability
    assert pytest.approx(20 / 21) == compute_labels([(0.5, ["a"])] * 20)[0].probability
    assert [] == compute_labels([])


def test_values_of_different_types_are_different_labels() -> None:
    """True, 1 and "1" are different labels, 1 and 1.0 are one; equal ones are ordered by value."""
    labels = compute_labels([(0.5, [True, 1, "1"]), (0.5, [1.0]), (0.5, ["1", "1"])])
    assert [("1", "str"), (1.0, "float"), (True, "bool")] == [
        (label.value, type(label.value).__name__) for label in labels
    ]
    assert labels[0].probability == labels[1].probability


def test_values_are_found_by_path() -> None:
    """A path joins names by dots, and a name can contain dots itself."""
    attributes: dict[str, JsonValue] = {
        "a": {"b": ["x", 1.0, None, {"c": 1}], "c.d": True},
        "a.b": "whole",
        "e": None,
    }
    assert {"x", 1.0, "whole"} == set(list_values(attributes, "a.b"))
    assert [True] == list(list_values(attributes, "a.c.d"))
    assert [] == list(list_values(attributes, "e"))
    assert [] == list(list_values(attributes, "a"))
