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


async def asked(catalog: Catalog, query: Query) -> Recommendations:
    return await catalog.recommender.recommend(query)


def reasons(answer: Recommendations) -> Mapping[str, list[Explanation]]:
    return {each.item_id: list(each.explanations) for each in answer.recommendations}


async def test_examples_bring_what_is_like_them(tmp_path: Path) -> None:
    """Items and texts count together, and items among the examples never come back."""
    async with films(tmp_path) as catalog:
        source = ExamplesSource(
            (Example(ItemSource("jazz")), Example(TextSource("northern rivers")))
        )
        found = await catalog.recommended(source)
        assert {"swing", "bears"} == set(found[:2])
        assert set(FILMS) - {"jazz"} == set(found)


async def test_a_negative_example_drives_items_down(tmp_path: Path) -> None:
    """What is like a negative example falls behind what is not, and the example is left out."""
    async with films(tmp_path) as catalog:
        likes = (Example(TextSource("city thieves")), Example(TextSource("northern")))
        without = await catalog.recommended(ExamplesSource(likes))
        unlike = (Example(TextSource("police chase by night")), Example(ItemSource("jazz"), 0.1))
        found = await catalog.recommended(ExamplesSource(likes, unlike))
        assert without.index("police") < found.index("police")
        assert set(without) - {"jazz"} == set(found)


async def test_the_weight_of_an_example_counts(tmp_path: Path) -> None:
    """Of two examples the heavier one's likeness is first."""
    async with films(tmp_path) as catalog:
        for weights, best in (((5.0, 1.0), "swing"), ((1.0, 5.0), "bears")):
            texts = zip(("swing band tour", "bears fish rivers"), weights, strict=True)
            examples = tuple(Example(TextSource(text), weight) for text, weight in texts)
            assert best == (await catalog.recommended(ExamplesSource(examples)))[0]


async def test_missing_examples_are_told_and_do_not_count(tmp_path: Path) -> None:
    """Ids that are not there are named once, in order, and the call goes on without them."""
    async with films(tmp_path) as catalog:
        positive = tuple(Example(ItemSource(each)) for each in ("gone", "jazz", "gone"))
        source = ExamplesSource(positive, (Example(ItemSource("never")),))
        answer = await asked(catalog, Query(source, 10))
        assert ("gone", "never") == answer.missing_item_ids
        assert "swing" == ids(answer)[0]
        only_gone = ExamplesSource((Example(ItemSource("gone")),))
        assert [] == await catalog.recommended(only_gone)


async def test_an_example_that_cannot_be_embedded_fails_the_call(tmp_path: Path) -> None:
    """While the provider is out a new text fails, and examples that are items still work."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await put(catalog, "a", "green tea")
        await put(catalog, "b", "black tea")
        embedder.fault = Fault.UNAVAILABLE
        with pytest.raises(errors.EmbeddingUnavailable):
            await catalog.recommended(ExamplesSource((Example(TextSource("coffee")),)))
        assert ["b"] == await catalog.recommended(ExamplesSource((Example(ItemSource("a")),)))


@every_source
async def test_only_items_that_pass_the_filter_come_back(tmp_path: Path, source: Source) -> None:
    """The filter is applied before the best are chosen, so the answer is full all the same."""
    async with films(tmp_path) as catalog:
        answer = await asked(catalog, Query(source, 2, filter=ANIMALS))
        assert {"wolves", "bears"} == set(ids(answer))
        without = Query(source, 2, exclude_item_ids=("wolves",), filter=ANIMALS)
        assert ["bears"] == ids(await asked(catalog, without))
        nothing = Filter(all=(Condition("kind", OneOf(("plants",))),))
        assert [] == ids(await asked(catalog, Query(source, 2, filter=nothing)))


async def test_an_item_is_filtered_by_its_latest_attributes(tmp_path: Path) -> None:
    """Attributes count as soon as the write that brought them has returned."""
    async with films(tmp_path) as catalog:
        await put(catalog, "jazz", FILMS["jazz"], kind="animals")
        found = ids(await asked(catalog, Query(TextSource("jazz"), 1, filter=ANIMALS)))
        assert ["jazz"] == found


@every_source
async def test_explained_recommendations_have_reasons(tmp_path: Path, source: Source) -> None:
    """Asked to explain, each item has reasons from the source, strongest first; else none."""
    async with films(tmp_path) as catalog:
        answer = await asked(catalog, Query(source, 4, explain=True))
        assert all(1 <= len(each.explanations) <= 5 for each in answer.recommendations)
        plain = await asked(catalog, Query(source, 4))
        assert ids(plain) == ids(answer)
        assert [()] * 4 == [each.explanations for each in plain.recommendations]


async def test_the_only_source_is_the_reason(tmp_path: Path) -> None:
    """For an item or a text the reason is that one, with the score; a long text is cut."""
    async with films(tmp_path) as catalog:
        for source in (ItemSource("jazz"), TextSource("northern jazz")):
            answer = await asked(catalog, Query(source, 3, explain=True))
            for each in answer.recommendations:
                assert [Explanation(source, each.score)] == list(each.explanations)
        answer = await asked(catalog, Query(TextSource("jazz " * 100), 1, explain=True))
        assert TextSource(("jazz " * 100)[:200]) == answer.recommendations[0].explanations[0].source


async def test_reasons_name_the_taste_that_an_item_is_like(tmp_path: Path) -> None:
    """Each item's first reason is its own taste, liked item or text; dislikes are no reasons."""
    async with films(tmp_path) as catalog:
        dislike = Preference("fish", -0.2)
        await catalog.put_user("v", "northern snow", dislike, liked=("jazz", "heist"))
        answer = await asked(catalog, Query(UserSource("v"), 4, explain=True))
        found = reasons(answer)
        assert ItemSource("jazz") == found["swing"][0].source
        assert ItemSource("heist") == found["police"][0].source
        assert TextSource("northern snow") == found["wolves"][0].source
        named = {each.source for some in found.values() for each in some}
        assert TextSource("fish") not in named
        await catalog.put_user("w", dislike)
        assert {()} == {
            each.explanations
            for each in (
                await asked(catalog, Query(UserSource("w"), 4, explain=True))
            ).recommendations
        }


async def test_the_first_twenty_name_every_clear_taste(tmp_path: Path) -> None:
    """Of three different profile, one with many more items near to it, none is left unnamed."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for number in range(60):
            await put(catalog, f"tea{number}", f"green tea leaves from garden number {number}")
        for number in range(8):
            await put(catalog, f"bike{number}", f"steel bicycle with gears and bell {number}")
            await put(catalog, f"lamp{number}", f"brass reading lamp for desks {number}")
        await catalog.put_user("u", "green tea leaves", "steel bicycle gears", "brass desks lamp")
        answer = await asked(catalog, Query(UserSource("u"), 20, explain=True))
        named = {each.source for some in reasons(answer).values() for each in some[:1]}
        assert 3 == len(named)


@every_source
async def test_a_repetition_gives_its_place_to_another(tmp_path: Path, source: Source) -> None:
    """Of items with one text only the best comes back under a maximum, and the answer is full."""
    async with films(tmp_path) as catalog:
        for number in range(12):
            await put(catalog, f"copy{number:02}", "northern jazz club in the snow")
        usual = ids(await asked(catalog, Query(source, 10)))
        assert 2 <= len([each for each in usual if each.startswith("copy")])
        found = ids(await asked(catalog, Query(source, 5, max_similarity=0.99)))
        assert ["copy00"] == [each for each in found if each.startswith("copy")]
        assert 5 == len(found)


async def test_what_is_near_in_other_words_is_no_repetition(tmp_path: Path) -> None:
    """Items whose vectors are as near as asked for stay as long as their texts differ."""
    async with films(tmp_path) as catalog:
        everything = ids(await asked(catalog, Query(TextSource("jazz"), 10)))
        found = ids(await asked(catalog, Query(TextSource("jazz"), 10, max_similarity=-1.0)))
        assert everything == found


async def test_repetitions_never_make_an_answer_short(tmp_path: Path) -> None:
    """However many copies there are ahead of them, others are found behind."""
    async with films(tmp_path) as catalog:
        for number in range(300):
            await put(catalog, f"copy{number:03}", "northern jazz in the snow")
        query = Query(TextSource("northern jazz in the snow"), 7, max_similarity=0.99)
        found = ids(await asked(catalog, query))
        assert {"copy000", *FILMS} == set(found)


@every_source
async def test_diversity_keeps_the_first_and_the_number(tmp_path: Path, source: Source) -> None:
    """However varied, the best item is first and as many come as without."""
    async with films(tmp_path) as catalog:
        usual = ids(await asked(catalog, Query(source, 4)))
        for diversity in (0.3, 1.0):
            found = ids(await asked(catalog, Query(source, 4, diversity=diversity)))
            assert usual[0] == found[0]
            assert 4 == len(set(found))


async def test_all_options_go_together(tmp_path: Path) -> None:
    """Filter, diversity, maximum, floor, reasons and full items hold in one answer."""
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
        answer = await asked(catalog, query)
        assert {"wolves", "bears"} == set(ids(answer))
        for each in answer.recommendations:
            assert each.item is not None
            assert each.explanations


async def test_copies_of_each_other_tie_for_several_sources(tmp_path: Path) -> None:
    """Items with one text have one score and come by id, wherever they lie among others."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for number in range(40):
            text = "the same green tea" if number % 5 == 0 else f"something else {number}"
            await put(catalog, f"i{number:02}", text)
        examples = tuple(Example(TextSource(f"else {n} tea")) for n in range(8))
        answer = await asked(catalog, Query(ExamplesSource(examples), 40))
        copies = [each for each in answer.recommendations if int(each.item_id[1:]) % 5 == 0]
        assert 1 == len({each.score for each in copies})
        assert sorted(each.item_id for each in copies) == [each.item_id for each in copies]


async def test_only_the_proportion_of_weights_counts(tmp_path: Path) -> None:
    """Weights a billion times smaller, or larger, bring the same scores."""
    async with films(tmp_path) as catalog:
        texts = ("jazz club", "northern snow")

        async def scores(factor: float) -> list[tuple[str, float]]:
            likes = tuple(Example(TextSource(text), factor) for text in texts)
            unlike = (Example(TextSource("city thieves"), factor / 2),)
            answer = await asked(catalog, Query(ExamplesSource(likes, unlike), 10))
            return [(each.item_id, each.score) for each in answer.recommendations]

        expected = await scores(1.0)
        for factor in (1e-30, 1e-9, 1_000.0):
            assert expected == await scores(factor)


async def test_a_weight_of_next_to_nothing_is_no_trouble(tmp_path: Path) -> None:
    """Beside a heavy dislike, a like of the smallest weight there is leaves finite scores."""
    async with films(tmp_path) as catalog:
        source = ExamplesSource(
            (Example(ItemSource("jazz"), 1e-45),), (Example(ItemSource("heist"), 1_000.0),)
        )
        answer = await asked(catalog, Query(source, 10, diversity=0.5))
        assert all(abs(each.score) < 4 for each in answer.recommendations)
        assert 4 == len(answer.recommendations)


async def test_a_copy_is_found_among_others_as_near(tmp_path: Path) -> None:
    """Of two equal texts one is dropped though many other texts have the same vector."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        words = ["red", "cotton", "shirt", "for", "summer", "days"]
        for number in range(12):
            turned = [*words[number % 6 :], *words[: number % 6]]
            turned = turned if number < 6 else turned[::-1]
            await put(catalog, f"a{number:02}", " ".join(turned))
        for name in ("x1", "x2"):
            await put(catalog, name, "summer shirt red for days cotton")
        query = Query(TextSource("cotton shirt"), 20, max_similarity=0.99)
        found = ids(await asked(catalog, query))
        assert 1 == len({"x1", "x2"} & set(found))
