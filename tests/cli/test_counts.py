"""Numbers with their nouns, in the singular and in the plural."""

import pytest

from service.cli.analysis_output import format_count, format_names


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("item",), "0 items"),
        (1, ("item",), "1 item"),
        (2, ("pending item",), "2 pending items"),
        (12_345, ("token",), "12,345 tokens"),
        (1, ("person", "people"), "1 person"),
        (3, ("person", "people"), "3 people"),
    ],
)
def test_nouns_agree_with_numbers(number: int, words: tuple[str, ...], text: str) -> None:
    """One thing is in the singular, and any other number in the plural."""
    assert text == format_count(number, *words)


def test_nouns_agree_with_names() -> None:
    """A noun before one name is in the singular."""
    assert "item: a" == format_names("item", ["a"])
    assert "items: a, b" == format_names("item", ["a", "b"])
