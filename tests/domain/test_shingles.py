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


@pytest.mark.parametrize("text", ["tea", "green tea", "!!!", "", "ΑΒΓ", "東京タワー"])
def test_short_texts_are_near_duplicates_of_themselves(text: str) -> None:
    """A text with fewer words than a shingle, in any script, is its own near-duplicate."""
    assert are_near_duplicates(text, text)
    assert are_near_duplicates(text, text.casefold())


def test_only_the_beginning_of_a_long_text_is_compared() -> None:
    """Text after the compared part makes no difference."""
    beginning = "word " * (COMPARED_CHARACTERS // 5)
    assert are_near_duplicates(beginning + STORY, beginning + "something else")


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
