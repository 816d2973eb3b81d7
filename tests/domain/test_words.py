import unicodedata

import pytest

from service.domain.words import WORD_LENGTH, normalize, split_into_tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Lachs, 2 kg!", ["lachs", "2", "kg"]),
        ("गीली चट्टानों पर", ["गीली", "चट्टानों", "पर"]),
        ("حذاءٌ خفيفٌ", ["حذاءٌ", "خفيفٌ"]),
        ("Giày chạy", ["giày", "chạy"]),
        ("가벼운 러닝화", ["가벼운", "러닝화"]),
        ("இலகுரக காலணிகள்", ["இலகுரக", "காலணிகள்"]),
        ("👟🏔\ufe0f ∑ — 42", ["42"]),
        ("", []),
    ],
)
def test_a_token_is_a_word_where_words_are_spaced(text: str, words: list[str]) -> None:
    """Marks and vowel signs stay inside of their word, in either Unicode form."""
    for form in ("NFC", "NFD"):
        tokens = split_into_tokens(normalize(unicodedata.normalize(form, text)))
        assert [unicodedata.normalize("NFC", word) for word in words] == [
            unicodedata.normalize("NFC", token) for token in tokens.texts
        ]
        assert tokens.lengths is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Nike 跑鞋40", ["nike", "跑", "鞋", "40"]),
        ("らーめん", ["ら", "ー", "め", "ん"]),
        ("น้ำ", ["น้", "ำ"]),
        ("ກິນ", ["ກິ", "ນ"]),
        ("ស្បែក", ["ស្", "បែ", "ក"]),
        ("တော်", ["တော်"]),
    ],
)
def test_a_token_is_a_letter_where_words_are_not_spaced(text: str, tokens: list[str]) -> None:
    """Letters of such scripts are tokens shorter than a word; words beside them stay whole."""
    split = split_into_tokens(normalize(text))
    assert tokens == list(split.texts)
    assert split.lengths is not None
    assert [token.isascii() for token in tokens] == [
        length == WORD_LENGTH for length in split.lengths
    ]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ＮＩＫＥ　９０", "nike 90"),
        ("ﾗﾝﾆﾝｸﾞ", "ランニング"),
        ("ﬁt", "fit"),
        ("STRASSE Straße", "strasse strasse"),
        ("soft\u00adware", "software"),
        ("می\u200cخواهم", "میخواهم"),
        ("\u202bحذاء\u202c", "حذاء"),
        ("葛\U000e0100", "葛"),
        ("\u0e19\u0e49\u0e4d\u0e32", "น้ำ"),
        ("ᾳ", normalize("Αι")),
        ("\U0001d401\U0001d428ld", "bold"),
    ],
)
def test_forms_of_one_text_are_equal(text: str, normal: str) -> None:
    """Case, width, ligatures, invisible characters and composition make no difference."""
    assert normal == normalize(text)
    assert normal == normalize(unicodedata.normalize("NFD", text))
    assert normal == normalize(normal)
