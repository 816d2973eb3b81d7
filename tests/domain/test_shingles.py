import pytest

from service.domain.shingles import COMPARED_CHARACTERS, ShingleRarity, Shingles

STORY = (
    "A retired captain buys an old schooner and sails it to the islands of his youth. On the way "
    "he picks up a runaway boy who wants to become a cook. Together they find the wreck that made "
    "the captain famous. A storm decides which of them will bring it home."
)


def same(one: str, other: str) -> bool:
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
def test_a_copy_repeats(copy: str) -> None:
    """A text repeats itself, be it in other case, longer, or with one sentence in other words."""
    assert same(STORY, copy)


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
def test_another_text_does_not_repeat(one: str, other: str) -> None:
    """A text on the same subject in other words is no repetition, nor is a short one."""
    assert not same(one, other)


@pytest.mark.parametrize("text", ["tea", "green tea", "!!!", "", "ΑΒΓ", "東京タワー"])
def test_short_and_odd_texts_repeat_themselves(text: str) -> None:
    """Texts of fewer words than a run, of no words, in any script, repeat themselves."""
    assert same(text, text)
    assert same(text, text.casefold())


def test_only_the_beginning_of_a_long_text_counts() -> None:
    """What follows the part that is compared makes no difference."""
    beginning = "word " * (COMPARED_CHARACTERS // 5)
    assert same(beginning + STORY, beginning + "something else")


BOILERPLATE = "All rights reserved by the publisher. No part of this may be copied or sold again."


def test_what_all_texts_say_is_no_repetition() -> None:
    """Texts that share what the whole catalog shares are different; copies are none the less."""
    texts = [f"{BOILERPLATE} Item {n} {n * 7} {n * 13} is called {n * 31}." for n in range(3_000)]
    wordings = [Shingles(text) for text in texts]
    assert wordings[0].is_near_duplicate_of(wordings[1])
    rarity = ShingleRarity(wordings)
    copy = Shingles(texts[0].upper().replace(".", "!"))
    assert [True, True, False, False] == rarity.are_near_duplicates(
        wordings[0], [wordings[0], copy, wordings[1], wordings[2]]
    )
    assert [] == rarity.are_near_duplicates(wordings[0], [])


def test_copies_do_not_make_wording_common() -> None:
    """A text that is there hundreds of times is repeated all the same by one that differs a bit."""
    rarity = ShingleRarity(
        [Shingles(STORY)] * 500 + [Shingles(f"{n} {n + 1} {n + 2}") for n in range(99)]
    )
    assert [True] == rarity.are_near_duplicates(
        Shingles(STORY), [Shingles(STORY + " With an afterword.")]
    )
