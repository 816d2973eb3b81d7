import pytest
from rich.cells import cell_len

from service.cli import console


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "0 US dollars"),
        (1.23e-5, "0.0000123 US dollars"),
        (1.5e-12, "0.0000000000015 US dollars"),
        (0.00004999, "0.00005 US dollars"),
        (0.0999, "0.0999 US dollars"),
        (0.5, "0.5000 US dollars"),
        (1234.5, "1,234.5000 US dollars"),
        (1e-20, "0.00000000000000000001 US dollars"),
    ],
)
def test_no_amount_looks_like_zero(amount: float, text: str) -> None:
    """An amount has digits other than 0, and no exponent, unless it is 0."""
    assert text == console.format_usd(amount)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("short", "short"),
        ("word " * 20, "word word word word word word word word word ..."),
        ("長" * 100, "長" * 23 + " ..."),
        ("a " + "長" * 100, "a " + "長" * 22 + " ..."),
        ("x" * 51, "x" * 46 + " ..."),
        ("\x1b" * 60, "␛" * 46 + " ..."),
    ],
)
def test_a_long_text_has_a_start(text: str, start: str) -> None:
    """A text is cut between words, or within one where that would leave little of it."""
    assert start == console.shorten(text)
    assert cell_len(start) <= console.CELL_COLUMNS


def test_a_table_has_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is longer than its column is continued in the next line, and nothing is cut."""
    table = console.build_table()
    table.add_column("a")
    table.add_column("b")
    names = ("x" * 300, "y" * 300)
    table.add_row(*names)
    console.out.print(table)
    output = capsys.readouterr().out
    assert names == tuple(character * output.count(character) for character in "xy")
