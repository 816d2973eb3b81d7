import pytest

from service.embedding.vocabulary import is_largely_unknown


@pytest.mark.parametrize(
    "text",
    [
        "Light running shoes with a grippy sole",
        "Leichte Laufschuhe für nasse Felsen",
        "Giày chạy đường mòn nhẹ với đế bám tốt",
        "Zażółć gęślą jaźń",
        "Running shoes, 跑鞋",
        "42-17 / 9",
        "👟",
        "",
    ],
)
def test_texts_in_latin_letters_are_known(text: str) -> None:
    """Texts in Latin letters, with accents or a few other letters, and without letters."""
    assert not is_largely_unknown(text)


@pytest.mark.parametrize(
    "text",
    [
        "这款轻便的越野跑鞋鞋底抓地力很强",
        "軽量トレイルランニングシューズです",
        "รองเท้าวิ่งเทรลน้ำหนักเบา",
        "가벼운 트레일 러닝화",
        "Лёгкие беговые кроссовки",
        "Ελαφριά παπούτσια",
        "حذاء خفيف للجري",
        "हल्के ट्रेल रनिंग जूते",
        "Nike Pegasus 40 跑鞋轻便透气适合日常训练",
    ],
)
def test_texts_in_other_scripts_are_unknown(text: str) -> None:
    """Texts in other scripts, even if the vocabulary has their letters one by one."""
    assert is_largely_unknown(text)
