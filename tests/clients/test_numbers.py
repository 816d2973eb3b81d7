from typing import Any

import akin
import pytest
from akin.filters import between, contains_any, equals, one_of

ROUNDED = [
    2**53 + 1,
    -(2**53) - 1,
    2**63 - 1,
    2**64 - 1,
    10**400,
    pytest.param(10**5_000, id="10**5000"),
]
EXACT = [0, True, 2**53, 2**60, -(2**62), 0.1, 1e300]


@pytest.mark.parametrize("number", ROUNDED)
def test_a_number_that_would_be_rounded_is_an_error(number: int) -> None:
    """An integer that a double cannot hold raises ValueError with its path, in every builder."""
    attributes: dict[str, Any] = {"a": [{"b": number}]}
    with pytest.raises(ValueError, match=r"^attributes\.a\[0\]\.b: the number .* use a string$"):
        akin.item("a", "tea", attributes)
    for build in (equals, lambda name, value: one_of(name, [1, value])):
        with pytest.raises(ValueError, match=r"^size: the number .* use a string$"):
            build("size", number)
    with pytest.raises(ValueError, match="use a string"):
        contains_any("size", [number])
    with pytest.raises(ValueError, match="use a string"):
        between("size", lt=number)
    with akin.Client("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="use a string"):
            client.upsert_item("a", "tea", attributes)
        with pytest.raises(ValueError, match="use a string"):
            client.update_item("a", attributes=attributes)


@pytest.mark.parametrize("number", EXACT)
def test_a_number_that_a_double_holds_passes(number: float) -> None:
    """Numbers that stay the same are sent."""
    assert number == akin.item("a", "tea", {"a": number}).attributes["a"]
    assert number == equals("a", number).equals.number_value or number is True


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_an_error(number: float) -> None:
    """JSON has no numbers that are not finite."""
    with pytest.raises(ValueError, match=r"^attributes\.a: (nan|inf) is not a finite number$"):
        akin.item("a", "tea", {"a": number})
