from service.analysis.keywords import extract_keywords


def test_words_of_one_group_are_told_and_common_ones_are_not() -> None:
    """What is frequent in one group and rare in others comes first; what all use does not come."""
    groups = [
        ["the cat and the dog", "The CAT sleeps and purrs", "a dog and a cat"],
        ["the rocket and the moon", "a rocket lands and the crew rests", "Rocket and moon dust"],
        ["the soup and the bread", "soup boils and the cook waits", "a bread and a soup"],
    ]
    cats, rockets, soups = extract_keywords(groups)
    assert ["cat", "dog"] == cats
    assert ["rocket", "moon"] == rockets
    assert ["soup", "bread"] == soups


def test_any_script_will_do() -> None:
    """Words are found without a list of any language's common ones."""
    first, second = extract_keywords(
        [["кошка и собака", "кошка и мышь"], ["суп и хлеб", "суп и соль"]]
    )
    assert ["кошка"] == first
    assert ["суп"] == second


def test_odd_groups_have_words_or_none() -> None:
    """One group, a group of one text, of no texts and of no words give no error."""
    assert [[]] == extract_keywords([[]])
    assert [["alone", "here"], []] == extract_keywords([["alone here 12"], ["!!!"]])
    assert [["rare"]] == extract_keywords([["rare and", "rare and", "and", "and"]])
