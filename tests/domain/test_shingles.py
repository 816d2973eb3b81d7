import unicodedata

import pytest

from service.domain.shingles import COMPARED_CHARACTERS, ShingleRarity, Shingles

STORY = (
    "A retired captain buys an old schooner and sails it to the islands of his youth. On the way "
    "he picks up a runaway boy who wants to become a cook. Together they find the wreck that made "
    "the captain famous. A storm decides which of them will bring it home."
)


def are_near_duplicates(one: str, other: str) -> bool:
    assert Shingles(one).is_near_duplicate_of(Shingles(other)) == Shingles(
        other
    ).is_near_duplicate_of(Shingles(one))
    return Shingles(one).is_near_duplicate_of(Shingles(other))


@pytest.mark.parametrize(
    "copy",
    [
        STORY,
        STORY.upper(),
        STORY.replace(".", "!").replace(" ", "  "),
        STORY + " With a new afterword.",
        STORY.replace(
            "Together they find the wreck that made the captain famous.",
            "They discover the ship which once brought the old man fame.",
        ),
    ],
    ids=["same", "case", "punctuation", "longer", "paraphrased"],
)
def test_copies_are_near_duplicates(copy: str) -> None:
    """A copy in other case, with an addition, or with one paraphrase is a near-duplicate."""
    assert are_near_duplicates(STORY, copy)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STORY, "A captain sails an old ship to the islands with a boy who wants to cook."),
        ("red shoes", "blue shoes"),
        ("running shoes", "shoes for running"),
        ("!!!", "???"),
        ("", "tea"),
    ],
)
def test_different_texts_are_no_near_duplicates(one: str, other: str) -> None:
    """Texts on the same subject in other words are not near-duplicates."""
    assert not are_near_duplicates(one, other)


@pytest.mark.parametrize(
    "text", ["tea", "green tea", "!!!", "", "ΑΒΓ", "東京タワー", "ก", "👟", "∑"]
)
def test_short_texts_are_near_duplicates_of_themselves(text: str) -> None:
    """A text with fewer words than a shingle, in any script, is its own near-duplicate."""
    assert are_near_duplicates(text, text)
    assert are_near_duplicates(text, text.casefold())


def test_only_the_beginning_of_a_long_text_is_compared() -> None:
    """Text after the compared part makes no difference."""
    beginning = "word " * (COMPARED_CHARACTERS // 5)
    assert are_near_duplicates(beginning + STORY, beginning + "something else")


UNSPACED = {
    "Chinese": (
        "这款轻便的越野跑鞋鞋底抓地力很强，适合湿滑的岩石和山里的长途跋涉。",
        "这款轻便的越野跑鞋鞋底抓地力非常强，适合湿滑的岩石和山里的长途跋涉。",
        "轻便的公路跑鞋，透气网面，适合日常训练和马拉松比赛，让双脚保持清爽。",
    ),
    "Japanese": (
        "濡れた岩や長い山歩きに適した、軽量トレイルランニングシューズです。",
        "濡れた岩や長い山歩きにとても適した、軽量トレイルランニングシューズです。",
        "通気性の良い軽量ランニングシューズです。日々のトレーニングに適しています。",
    ),
    "Thai": (
        "รองเท้าวิ่งเทรลน้ำหนักเบาพื้นยึดเกาะดีเหมาะสำหรับหินเปียกและการเดินป่า",
        "รองเท้าวิ่งเทรลน้ำหนักเบาพื้นยึดเกาะดีมากเหมาะสำหรับหินเปียกและการเดินป่า",
        "รองเท้าวิ่งถนนน้ำหนักเบาพื้นนุ่มเหมาะสำหรับการวิ่งมาราธอนและการฝึกซ้อม",
    ),
    "Lao": (
        "ເກີບແລ່ນເບົາພື້ນຍຶດເກາະດີເໝາະສຳລັບຫີນປຽກແລະການເດີນປ່າ",
        "ເກີບແລ່ນເບົາພື້ນຍຶດເກາະດີຫຼາຍເໝາະສຳລັບຫີນປຽກແລະການເດີນປ່າ",
        "ເກີບກັນນ້ຳສຳລັບຍ່າງໃນຫິມະ",
    ),
    "Khmer": (
        "ស្បែកជើងរត់ស្រាលបាតតោងល្អស័ក្តិសមសម្រាប់ថ្មសើមនិងការដើរព្រៃឆ្ងាយ",
        "ស្បែកជើងរត់ស្រាលបាតតោងល្អណាស់ស័ក្តិសមសម្រាប់ថ្មសើមនិងការដើរព្រៃឆ្ងាយ",
        "ស្បែកជើងមិនជ្រាបទឹកសម្រាប់ដើរលើព្រិល",
    ),
    "Burmese": (
        "ပေါ့ပါးသောတောင်တက်ဖိနပ်သည်စိုစွတ်သောကျောက်တုံးများနှင့်ခရီးရှည်များအတွက်သင့်တော်သည်",
        "ပေါ့ပါးသောတောင်တက်ဖိနပ်သည်စိုစွတ်သောကျောက်တုံးများနှင့်ခရီးရှည်များအတွက်အလွန်သင့်တော်သည်",
        "ရေစိုခံဖိနပ်နှင်းပေါ်တွင်လမ်းလျှောက်ရန်",
    ),
    "mixed": (
        "Nike Pegasus 40 跑鞋，轻便透气，适合 daily training 和马拉松，Made in Vietnam",
        "Nike Pegasus 40 跑鞋，轻便又透气，适合 daily training 和马拉松，Made in Vietnam",
        "Nike Pegasus 41 登山靴，高帮防水，适合 winter hiking 和雪地，Made in China",
    ),
}


@pytest.mark.parametrize("script", UNSPACED)
def test_scripts_without_spaces_are_compared_by_letters(script: str) -> None:
    """One changed word leaves a near-duplicate, and another text on the subject is none."""
    text, copy, other = UNSPACED[script]
    assert are_near_duplicates(text, copy)
    assert not are_near_duplicates(text, other)


@pytest.mark.parametrize(
    "text",
    [
        "Giày chạy đường mòn nhẹ với đế bám tốt, phù hợp cho đá ướt",
        "젖은 바위와 긴 산행에 적합한 접지력이 뛰어난 가벼운 러닝화",
        "गीली चट्टानों और पहाड़ों में लंबे दिनों के लिए जूते",
        "東京タワーのグッズ",
    ],
)
def test_unicode_forms_are_the_same_wording(text: str) -> None:
    """A text has the same words in composed, decomposed and compatibility forms."""
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert Shingles(text).words_hash == Shingles(unicodedata.normalize(form, text)).words_hash
        assert are_near_duplicates(text, unicodedata.normalize(form, text))


BOILERPLATE = "All rights reserved by the publisher. No part of this may be copied or sold again."


def test_common_wording_makes_no_near_duplicates() -> None:
    """Wording that the whole catalog shares does not count; copies are still found."""
    texts = [f"{BOILERPLATE} Item {n} {n * 7} {n * 13} is called {n * 31}." for n in range(3_000)]
    shingles = [Shingles(text) for text in texts]
    assert shingles[0].is_near_duplicate_of(shingles[1])
    rarity = ShingleRarity(shingles)
    copy = Shingles(texts[0].upper().replace(".", "!"))
    assert [True, True, False, False] == rarity.are_near_duplicates(
        shingles[0], [shingles[0], copy, shingles[1], shingles[2]]
    )
    assert [] == rarity.are_near_duplicates(shingles[0], [])


def test_copies_do_not_make_wording_common() -> None:
    """A slightly different copy is found even if a text has hundreds of copies."""
    rarity = ShingleRarity(
        [Shingles(STORY)] * 500 + [Shingles(f"{n} {n + 1} {n + 2}") for n in range(99)]
    )
    assert [True] == rarity.are_near_duplicates(
        Shingles(STORY), [Shingles(STORY + " With an afterword.")]
    )
