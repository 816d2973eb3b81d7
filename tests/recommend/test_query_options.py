from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.catalogs import Catalog, ids, running
from support.clock import FakeClock
from support.embedders import Fault, FaultyEmbedder, WordEmbedder

from service import errors
from service.domain.filters import Condition, Equals, Filter, OneOf
from service.domain.items import Item, JsonValue
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    Explanation,
    ItemSource,
    Query,
    Recommendations,
    Source,
    TextSource,
    UserSource,
)
from service.domain.users import Preference

FILMS = {
    "jazz": "a jazz trumpet player in a smoky club",
    "swing": "a swing and jazz band on a long tour",
    "wolves": "wolves hunt in the northern snow",
    "bears": "bears fish in the northern rivers",
    "heist": "thieves plan a heist in the city",
    "police": "city police chase thieves by night",
}
ANIMALS = Filter(all=(Condition("kind", Equals("animals")),))
SOURCES: list[Source] = [
    ItemSource("jazz"),
    TextSource("northern jazz"),
    UserSource("u"),
    ExamplesSource((Example(TextSource("northern jazz")),)),
]
every_source = pytest.mark.parametrize("source", SOURCES, ids=["item", "text", "user", "examples"])


async def put(catalog: Catalog, item_id: str, text: str, **attributes: JsonValue) -> None:
    item = Item(item_id, text, attributes)
    await catalog.put_item(item)


@asynccontextmanager
async def films(folder: Path) -> AsyncIterator[Catalog]:
    async with running(folder, WordEmbedder(), FakeClock()) as catalog:
        for item_id, text in FILMS.items():
            kind = "animals" if item_id in {"wolves", "bears"} else "people"
            await put(catalog, item_id, text, kind=kind)
        await catalog.put_user("u", "jazz club", "northern snow")
        yield catalog


async def recommend(catalog: Catalog, query: Query) -> Recommendations:
    return await catalog.recommender.recommend(query)


def explanations(answer: Recommendations) -> Mapping[str, list[Explanation]]:
    return {
        recommendation.item_id: list(recommendation.explanations)
        for recommendation in answer.recommendations
    }


async def test_examples_recommend_similar_items(tmp_path: Path) -> None:
    """Items and texts count together, and items among the examples are not recommended."""
    async with films(tmp_path) as catalog:
        source = ExamplesSource(
            (Example(ItemSource("jazz")), Example(TextSource("northern rivers")))
        )
        recommended = await catalog.recommended(source)
        assert {"swing", "bears"} == set(recommended[:2])
        assert set(FILMS) - {"jazz"} == set(recommended)


async def test_a_negative_example_lowers_similar_items(tmp_path: Path) -> None:
    """Items like a negative example rank below others, and the example itself is left out."""
    async with films(tmp_path) as catalog:
        likes = (Example(TextSource("city thieves")), Example(TextSource("northern")))
        without = await catalog.recommended(ExamplesSource(likes))
        unlike = (Example(TextSource("police chase by night")), Example(ItemSource("jazz"), 0.1))
        recommended = await catalog.recommended(ExamplesSource(likes, unlike))
        assert without.index("police") < recommended.index("police")
        assert set(without) - {"jazz"} == set(recommended)


async def test_the_weight_of_an_example_counts(tmp_path: Path) -> None:
    """The first item is like the example with the greater weight."""
    async with films(tmp_path) as catalog:
        for weights, best in (((5.0, 1.0), "swing"), ((1.0, 5.0), "bears")):
            texts = zip(("swing band tour", "bears fish rivers"), weights, strict=True)
            examples = tuple(Example(TextSource(text), weight) for text, weight in texts)
            assert best == (await catalog.recommended(ExamplesSource(examples)))[0]


async def test_missing_examples_are_reported_and_ignored(tmp_path: Path) -> None:
    """Ids of missing items are reported once, in order, and the others count."""
    async with films(tmp_path) as catalog:
        positive = tuple(Example(ItemSource(item_id)) for item_id in ("gone", "jazz", "gone"))
        source = ExamplesSource(positive, (Example(ItemSource("never")),))
        answer = await recommend(catalog, Query(source, 10))
        assert ("gone", "never") == answer.missing_item_ids
        assert "swing" == ids(answer)[0]
        only_gone = ExamplesSource((Example(ItemSource("gone")),))
        assert [] == await catalog.recommended(only_gone)


async def test_an_example_that_cannot_be_embedded_fails_the_call(tmp_path: Path) -> None:
    """During an outage of the provider, a new text is an error and examples that are items work."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await put(catalog, "a", "green tea")
        await put(catalog, "b", "black tea")
        embedder.fault = Fault.UNAVAILABLE
        with pytest.raises(errors.EmbeddingUnavailable):
            await catalog.recommended(ExamplesSource((Example(TextSource("coffee")),)))
        assert ["b"] == await catalog.recommended(ExamplesSource((Example(ItemSource("a")),)))


@every_source
async def test_only_matching_items_are_recommended(tmp_path: Path, source: Source) -> None:
    """The filter is applied before the best items are selected, so that the limit is reached."""
    async with films(tmp_path) as catalog:
        answer = await recommend(catalog, Query(source, 2, filter=ANIMALS))
        assert {"wolves", "bears"} == set(ids(answer))
        without = Query(source, 2, exclude_item_ids=("wolves",), filter=ANIMALS)
        assert ["bears"] == ids(await recommend(catalog, without))
        nothing = Filter(all=(Condition("kind", OneOf(("plants",))),))
        assert [] == ids(await recommend(catalog, Query(source, 2, filter=nothing)))


async def test_an_item_is_filtered_by_its_latest_attributes(tmp_path: Path) -> None:
    """Attributes count as soon as the write that changes them has returned."""
    async with films(tmp_path) as catalog:
        await put(catalog, "jazz", FILMS["jazz"], kind="animals")
        recommended = ids(await recommend(catalog, Query(TextSource("jazz"), 1, filter=ANIMALS)))
        assert ["jazz"] == recommended


@every_source
async def test_explanations_are_returned_on_request(tmp_path: Path, source: Source) -> None:
    """With `explain`, the best items have explanations, strongest first; otherwise none has."""
    async with films(tmp_path) as catalog:
        answer = await recommend(catalog, Query(source, 4, explain=True))
        assert 1 <= len(answer.recommendations[0].explanations) <= 5
        plain = await recommend(catalog, Query(source, 4))
        assert ids(plain) == ids(answer)
        assert [()] * 4 == [item.explanations for item in plain.recommendations]


async def test_a_single_source_is_the_explanation(tmp_path: Path) -> None:
    """The explanation for an item or a text is that source with the score; a long text is cut."""
    async with films(tmp_path) as catalog:
        for source in (ItemSource("jazz"), TextSource("northern jazz")):
            answer = await recommend(catalog, Query(source, 3, explain=True))
            for item in answer.recommendations:
                assert [Explanation(source, item.score)] == list(item.explanations)
        answer = await recommend(catalog, Query(TextSource("jazz " * 100), 1, explain=True))
        assert TextSource(("jazz " * 100)[:200]) == answer.recommendations[0].explanations[0].source


@every_source
async def test_what_does_not_resemble_an_item_is_no_explanation(
    tmp_path: Path, source: Source
) -> None:
    """No explanation has a similarity near or below 0, so that some items have none at all."""
    async with films(tmp_path) as catalog:
        answer = await recommend(catalog, Query(source, len(FILMS), explain=True))
        by_item = explanations(answer)
        similarities = [part.similarity for parts in by_item.values() for part in parts]
        assert similarities
        assert 0.1 <= min(similarities)
        assert [] in by_item.values()


async def test_the_first_explanation_is_the_most_similar_source(tmp_path: Path) -> None:
    """Each item's first explanation is the most similar like; dislikes are no explanations."""
    async with films(tmp_path) as catalog:
        dislike = Preference("fish", -0.2)
        await catalog.put_user("v", "northern snow", dislike, liked=("jazz", "heist"))
        answer = await recommend(catalog, Query(UserSource("v"), 4, explain=True))
        by_item = explanations(answer)
        assert ItemSource("jazz") == by_item["swing"][0].source
        assert ItemSource("heist") == by_item["police"][0].source
        assert TextSource("northern snow") == by_item["wolves"][0].source
        named = {explanation.source for item in by_item.values() for explanation in item}
        assert TextSource("fish") not in named
        await catalog.put_user("w", dislike)
        assert {()} == {
            item.explanations
            for item in (
                await recommend(catalog, Query(UserSource("w"), 4, explain=True))
            ).recommendations
        }


async def test_every_preference_explains_some_of_the_best_items(tmp_path: Path) -> None:
    """Each of three preferences explains an item, although one has many more similar items."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for number in range(60):
            await put(catalog, f"tea{number}", f"green tea leaves from garden number {number}")
        for number in range(8):
            await put(catalog, f"bike{number}", f"steel bicycle with gears and bell {number}")
            await put(catalog, f"lamp{number}", f"brass reading lamp for desks {number}")
        await catalog.put_user("u", "green tea leaves", "steel bicycle gears", "brass desks lamp")
        answer = await recommend(catalog, Query(UserSource("u"), 20, explain=True))
        named = {item[0].source for item in explanations(answer).values() if item}
        assert 3 == len(named)


@every_source
async def test_a_near_duplicate_is_replaced_by_another_item(tmp_path: Path, source: Source) -> None:
    """With a maximum similarity, only the best of equal texts is recommended, up to the limit."""
    async with films(tmp_path) as catalog:
        for number in range(12):
            await put(catalog, f"copy{number:02}", "northern jazz club in the snow")
        plain = ids(await recommend(catalog, Query(source, 10)))
        assert 2 <= len([item_id for item_id in plain if item_id.startswith("copy")])
        recommended = ids(await recommend(catalog, Query(source, 5, max_similarity=0.99)))
        assert ["copy00"] == [item_id for item_id in recommended if item_id.startswith("copy")]
        assert 5 == len(recommended)


async def test_similar_items_in_other_words_are_no_near_duplicates(tmp_path: Path) -> None:
    """Items with similar vectors are all recommended if their texts differ."""
    async with films(tmp_path) as catalog:
        everything = ids(await recommend(catalog, Query(TextSource("jazz"), 10)))
        recommended = ids(
            await recommend(catalog, Query(TextSource("jazz"), 10, max_similarity=-1.0))
        )
        assert everything == recommended


async def test_near_duplicates_do_not_shorten_an_answer(tmp_path: Path) -> None:
    """Other items are recommended, no matter how many copies rank above them."""
    async with films(tmp_path) as catalog:
        for number in range(300):
            await put(catalog, f"copy{number:03}", "northern jazz in the snow")
        query = Query(TextSource("northern jazz in the snow"), 7, max_similarity=0.99)
        recommended = ids(await recommend(catalog, query))
        assert {"copy000", *FILMS} == set(recommended)


@every_source
async def test_diversity_keeps_the_first_item_and_the_count(tmp_path: Path, source: Source) -> None:
    """With any diversity, the best item is first and the number of items is the same."""
    async with films(tmp_path) as catalog:
        plain = ids(await recommend(catalog, Query(source, 4)))
        for diversity in (0.3, 1.0):
            recommended = ids(await recommend(catalog, Query(source, 4, diversity=diversity)))
            assert plain[0] == recommended[0]
            assert 4 == len(set(recommended))


async def test_all_options_can_be_combined(tmp_path: Path) -> None:
    """One query has a filter, diversity, both score limits, explanations and full items."""
    async with films(tmp_path) as catalog:
        await put(catalog, "wolves again", FILMS["wolves"], kind="animals")
        query = Query(
            UserSource("u"),
            10,
            full=True,
            filter=ANIMALS,
            diversity=0.5,
            max_similarity=0.9,
            min_score=-0.9,
            explain=True,
        )
        answer = await recommend(catalog, query)
        assert {"wolves", "bears"} == set(ids(answer))
        for item in answer.recommendations:
            assert item.item is not None
        assert {("wolves", True), ("bears", False)} == {
            (item.item_id, bool(item.explanations)) for item in answer.recommendations
        }


async def test_copies_of_each_other_tie_for_several_sources(tmp_path: Path) -> None:
    """Items with equal texts have equal scores and are ordered by id."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for number in range(40):
            text = "the same green tea" if number % 5 == 0 else f"something else {number}"
            await put(catalog, f"i{number:02}", text)
        examples = tuple(Example(TextSource(f"else {n} tea")) for n in range(8))
        answer = await recommend(catalog, Query(ExamplesSource(examples), 40))
        copies = [item for item in answer.recommendations if int(item.item_id[1:]) % 5 == 0]
        assert 1 == len({item.score for item in copies})
        copy_ids = [item.item_id for item in copies]
        assert sorted(copy_ids) == copy_ids


async def test_only_the_proportion_of_weights_counts(tmp_path: Path) -> None:
    """Weights that are a billion times smaller or larger give the same scores."""
    async with films(tmp_path) as catalog:
        texts = ("jazz club", "northern snow")

        async def scores(factor: float) -> list[tuple[str, float]]:
            likes = tuple(Example(TextSource(text), factor) for text in texts)
            unlike = (Example(TextSource("city thieves"), factor / 2),)
            answer = await recommend(catalog, Query(ExamplesSource(likes, unlike), 10))
            return [(item.item_id, item.score) for item in answer.recommendations]

        expected = await scores(1.0)
        for factor in (1e-30, 1e-9, 1_000.0):
            assert expected == await scores(factor)


async def test_a_tiny_weight_gives_finite_scores(tmp_path: Path) -> None:
    """A like with the smallest possible weight and a heavy dislike give finite scores."""
    async with films(tmp_path) as catalog:
        source = ExamplesSource(
            (Example(ItemSource("jazz"), 1e-45),), (Example(ItemSource("heist"), 1_000.0),)
        )
        answer = await recommend(catalog, Query(source, 10, diversity=0.5))
        assert all(abs(item.score) < 4 for item in answer.recommendations)
        assert 4 == len(answer.recommendations)


async def test_a_copy_is_found_among_equally_similar_items(tmp_path: Path) -> None:
    """Of two equal texts one is dropped, although many other texts have the same vector."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        words = ["red", "cotton", "shirt", "for", "summer", "days"]
        for number in range(12):
            rotated = [*words[number % 6 :], *words[: number % 6]]
            rotated = rotated if number < 6 else rotated[::-1]
            await put(catalog, f"a{number:02}", " ".join(rotated))
        for name in ("x1", "x2"):
            await put(catalog, name, "summer shirt red for days cotton")
        query = Query(TextSource("cotton shirt"), 20, max_similarity=0.99)
        recommended = ids(await recommend(catalog, query))
        assert 1 == len({"x1", "x2"} & set(recommended))
