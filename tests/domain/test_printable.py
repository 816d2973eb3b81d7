import unicodedata

import pytest

from service.domain.printable import replace_controls, to_line


def test_no_character_stays_that_a_terminal_obeys() -> None:
    """Of all characters, no control, surrogate or bidirectional override is in a shown line."""
    line = to_line("".join(map(chr, range(0x110000))))
    categories = {unicodedata.category(character) for character in line}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    overrides = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not overrides & {unicodedata.bidirectional(character) for character in line}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x9b31m", "\ufffd31m"),
        ("a\x00b\x07c\x7f", "a␀b␇c␡"),
        ("one\ntwo\tthree\r\nfour", "one two three four"),
        ("user\u202egnp.exe", "user\ufffdgnp.exe"),
        ("line\u2028separator", "line separator"),
        ("\udcff", "\ufffd"),
    ],
)
def test_placeholders_are_visible(text: str, line: str) -> None:
    """A control character has its picture or U+FFFD, and a line break is a space."""
    assert line == to_line(text)


@pytest.mark.parametrize(
    "text", ["žluťoučký kůň", "日本語", "क्‍ष", "👩‍👩‍👧", "שלום\u200f!", "[b]x[/b]"]
)
def test_texts_of_any_script_stay(text: str) -> None:
    """Joiners, direction marks and brackets are parts of texts."""
    assert text == to_line(text)


def test_line_breaks_and_tabs_can_stay() -> None:
    """A text of several lines keeps them."""
    assert "a\n\tb␍c\n" == replace_controls("a\r\n\tb\rc\n")
