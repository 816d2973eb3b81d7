import unicodedata

from service.analysis.keywords import extract_keywords


def test_keywords_are_frequent_in_one_group_only() -> None:
    """Words that are frequent in one group only are keywords; words of all groups are not."""
    groups = [
        ["the cat and the dog", "The CAT sleeps and purrs", "a dog and a cat"],
        ["the rocket and the moon", "a rocket lands and the crew rests", "Rocket and moon dust"],
        ["the soup and the bread", "soup boils and the cook waits", "a bread and a soup"],
    ]
    cats, rockets, soups = extract_keywords(groups)
    assert ["cat", "dog"] == cats
    assert ["rocket", "moon"] == rockets
    assert ["soup", "bread"] == soups


def test_function_words_of_one_group_are_no_keywords() -> None:
    """Function words of English, and their contractions, are excluded where they are frequent."""
    women, _ = extract_keywords(
        [
            ["She loves her novel, what a romance", "she doesn't leave her romance, they don't"],
            ["ships and whales", "whales and ships"],
        ]
    )
    assert ["romance"] == women
    (single,) = extract_keywords([["even she sails", "even she", "rests", "rests here"]])
    assert "she" not in single


def test_keywords_need_no_list_of_stop_words() -> None:
    """Keywords are found in a language for which there is no list of common words."""
    first, second = extract_keywords(
        [["кошка и собака", "кошка и мышь"], ["суп и хлеб", "суп и соль"]]
    )
    assert ["кошка"] == first
    assert ["суп"] == second


def test_unusual_groups_are_no_error() -> None:
    """A single group, and groups of one text, no texts and no words, have keywords or none."""
    assert [[]] == extract_keywords([[]])
    assert [["alone", "sails"], []] == extract_keywords([["alone sails 12"], ["!!!"]])
    assert [["rare"]] == extract_keywords([["rare and", "rare and", "and", "and"]])


def test_keywords_are_whole_words_in_scripts_without_spaces() -> None:
    """What several texts of a group repeat is a keyword, and no part of it is another one."""
    shoes, pans, teas = extract_keywords(
        [
            ["轻便的越野跑鞋，鞋底耐磨", "透气的跑鞋，适合训练", "儿童跑鞋，鞋底柔软"],
            ["铸铁煎锅适合煎牛排", "不粘煎锅，煎牛排很好用", "带盖煎锅"],
            ["杭州的绿茶，香气清新", "绿茶口感清新", "红茶和绿茶"],
        ]
    )
    assert ["跑鞋", "鞋底"] == shoes
    assert ["煎锅", "煎牛排"] == pans
    assert ["绿茶", "清新"] == teas
    shoes, pans = extract_keywords(
        [
            ["軽量ランニングシューズです", "防水ランニングシューズ、通気性", "通気性の良い靴"],
            ["鉄製フライパン", "焦げないフライパンです", "蓋付きフライパン"],
        ]
    )
    assert {"ランニングシューズ", "通気性"} == set(shoes)
    assert ["フライパン"] == pans
    shoes, pans = extract_keywords(
        [
            ["รองเท้าวิ่งเบา", "รองเท้าเด็ก", "ซื้อรองเท้าใหม่"],
            ["กระทะเหล็ก", "กระทะเล็ก", "ล้างกระทะ"],
        ]
    )
    assert (["รองเท้า"], ["กระทะ"]) == (shoes, pans)


def test_keywords_are_whole_words_in_scripts_with_combining_marks() -> None:
    """Vowel signs and accents do not end a word, in either Unicode form."""
    shoes, pans = extract_keywords(
        [["गीली चट्टानों", "चट्टानों पर"], ["Giày chạy", unicodedata.normalize("NFD", "Giày trẻ")]]
    )
    assert ["चट्टानों"] == shoes
    assert ["giày"] == pans


def test_very_long_words_are_no_keywords() -> None:
    """An encoded file or a letter with hundreds of marks is not a word."""
    data, marks = "x" * 4_000, "z" + "\u0301" * 500
    first, _ = extract_keywords([[f"tea {data} {marks}"] * 2, ["rum", "rum"]])
    assert ["tea"] == first


def test_keywords_of_mixed_texts() -> None:
    """Words with and without spaces around them are keywords of one group."""
    shoes, pans = extract_keywords(
        [["Nike 跑鞋 40", "Nike跑鞋，轻便"], ["Lodge 煎锅", "Lodge煎锅，铸铁"]]
    )
    assert {"nike", "跑鞋"} == set(shoes)
    assert {"lodge", "煎锅"} == set(pans)


def test_words_that_a_few_texts_have_by_chance_are_no_keywords() -> None:
    """A word of many groups is no keyword of one that has it more often by chance."""
    kinds = ("toys", "shoes", "teapots", "lamps", "chairs", "novels")
    groups = [[f"{kind} {number}" for number in range(4)] for kind in kinds]
    groups[0] = ["toys for the garden", "the toys", "toys for the beach", "wooden toys"]
    for group in groups[1:]:
        group[0] += " for"
        group[1] += " the"
    assert [[kind] for kind in kinds] == extract_keywords(groups)


def test_rare_words_come_before_words_of_many_texts() -> None:
    """Of two words that a group has equally often, the one of fewer texts comes first."""
    shared = [["zebra common"] * 4]
    others = [["other common", "x", "y", "z"] for _ in range(3)]
    first, *_ = extract_keywords(shared + others)
    assert ["zebra", "common"] == first
