import pytest

from service.domain.terms import MAX_TERM_CHARACTERS, MAX_TERM_LENGTH, count_terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The ship, the SHIP!", {"the": 2, "ship": 2}),
        ("Part AB-123/4", {"part": 1, "ab": 1, "123": 1, "4": 1}),
        ("ＡＢ１２", {"ab12": 1}),
        ("", {}),
        ("?! -- *", {}),
        ('"ship" OR NEAR(x) text:*', {"ship": 1, "or": 1, "near": 1, "x": 1, "text": 1}),
        ("東京都", {"東京": 1, "京都": 1}),
        ("猫", {"猫": 1}),
        ("USB 東京 cable", {"usb": 1, "東京": 1, "cable": 1}),
        ("ไทย", {"ไท": 1, "ทย": 1}),
    ],
)
def test_terms_are_words_or_pairs_of_letters(text: str, terms: dict[str, int]) -> None:
    """Terms are words in one case and form; in scripts without spaces, pairs of letters."""
    assert terms == count_terms(text)


def test_long_texts_and_words_are_cut() -> None:
    """The beginning of a long text is read, and the beginning of a long word is its term."""
    assert {"a": MAX_TERM_CHARACTERS // 2} == count_terms("a " * MAX_TERM_CHARACTERS)
    assert {"b" * MAX_TERM_LENGTH: 1} == count_terms("b" * (MAX_TERM_LENGTH + 9))
