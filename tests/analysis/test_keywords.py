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
    assert [["alone", "here"], []] == extract_keywords([["alone here 12"], ["!!!"]])
    assert [["rare"]] == extract_keywords([["rare and", "rare and", "and", "and"]])
