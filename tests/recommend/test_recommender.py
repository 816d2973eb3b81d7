import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.catalogs import Catalog, ids, running
from support.clock import FakeClock
from support.embedders import Fault, FaultyEmbedder, WordEmbedder, unit_vector
from support.stores import indexed
from support.tasks import started

from service import errors
from service.domain.recommendations import ItemSource, Query, Source, TextSource, UserSource
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem, Preference
from service.recommend.profile import _select_heaviest

FILMS = {
    "jazz": "a jazz trumpet player in a smoky club",
    "swing": "a swing and jazz band on a long tour",
    "wolves": "wolves hunt in the northern snow",
    "bears": "bears fish in the northern rivers",
    "heist": "thieves plan a heist in the city",
    "police": "city police chase thieves by night",
}


@asynccontextmanager
async def films(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[Catalog]:
    async with running(folder, WordEmbedder(), clock or FakeClock()) as catalog:
        for item_id, text in FILMS.items():
            await catalog.put(item_id, text)
        yield catalog


SOURCES: list[Source] = [ItemSource("jazz"), TextSource(FILMS["jazz"]), UserSource("u")]
every_source = pytest.mark.parametrize("source", SOURCES, ids=["item", "text", "user"])


async def test_an_item_recommends_similar_items_but_not_itself(tmp_path: Path) -> None:
    """Items are ordered by their cosine with the source, which is left out."""
    async with films(tmp_path) as catalog:
        answer = await catalog.recommender.recommend(Query(ItemSource("jazz"), 10))
        cosines = {
            item_id: float(unit_vector(text) @ unit_vector(FILMS["jazz"]))
            for item_id, text in FILMS.items()
            if item_id != "jazz"
        }
        assert sorted(cosines, key=cosines.__getitem__, reverse=True) == ids(answer)
        scores = [item.score for item in answer.recommendations]
        assert sorted(cosines.values(), reverse=True) == pytest.approx(scores, abs=1e-5)
        assert EmbeddingUsage() == answer.usage
        assert [None] * 5 == [item.item for item in answer.recommendations]


async def test_a_text_recommends_the_nearest_items(tmp_path: Path) -> None:
    """Every item can be recommended for a text, and the usage of embedding it is reported."""
    async with films(tmp_path) as catalog:
        answer = await catalog.recommender.recommend(Query(TextSource("northern snow"), 10))
        assert "wolves" == ids(answer)[0]
        assert set(FILMS) == set(ids(answer))
        assert (1, 0, 2) == (
            answer.usage.text_count,
            answer.usage.cached_text_count,
            answer.usage.prompt_tokens,
        )
        again = await catalog.recommender.recommend(Query(TextSource("northern snow"), 10))
        assert EmbeddingUsage(1, 1) == again.usage


async def test_a_user_gets_items_like_each_preference_but_no_liked_item(tmp_path: Path) -> None:
    """Preference texts and liked items both count, and liked items are not recommended."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "northern rivers", liked=("jazz",))
        recommended = await catalog.recommended(UserSource("u"))
        assert set(FILMS) - {"jazz"} == set(recommended)
        assert {"swing", "bears"} == set(recommended[:2])


async def test_a_dislike_lowers_similar_items(tmp_path: Path) -> None:
    """Items like a dislike rank below others, and last if there are no likes."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("likes", "city thieves")
        dislike = Preference("police chase by night", -1.0)
        await catalog.put_user("dislikes too", "city thieves", dislike)
        await catalog.put_user("only dislikes", dislike)
        likes = await catalog.recommended(UserSource("likes"))
        assert {"heist", "police"} == set(likes[:2])
        both = await catalog.recommended(UserSource("dislikes too"))
        assert "heist" == both[0]
        assert both.index("police") > likes.index("police")
        assert "police" == (await catalog.recommended(UserSource("only dislikes")))[-1]


async def test_missing_liked_items_are_reported_and_ignored(tmp_path: Path) -> None:
    """Liked items that are not in the index are reported in the user's order."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", liked=("gone", "wolves", "never", "heist"))
        await catalog.items.delete("heist", allow_missing=False)
        answer = await catalog.recommender.recommend(Query(UserSource("u"), 10))
        assert ("gone", "never", "heist") == answer.missing_item_ids
        assert "bears" == ids(answer)[0]
        assert "wolves" not in ids(answer)


async def test_a_user_without_a_profile_gets_no_items(tmp_path: Path) -> None:
    """A user with no preference, or with deleted liked items only, gets an empty answer."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("empty")
        await catalog.put_user("lost", liked=("gone",))
        assert [] == await catalog.recommended(UserSource("empty"))
        assert [] == await catalog.recommended(UserSource("lost"))


@every_source
async def test_excluded_items_are_not_recommended(tmp_path: Path, source: Source) -> None:
    """Excluded items are replaced by the next ones; unknown ids are ignored."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz club")
        best, second, third, *_ = await catalog.recommended(source)
        query = Query(source, 2, exclude_item_ids=(best, "unknown", best))
        assert [second, third] == ids(await catalog.recommender.recommend(query))


@every_source
async def test_the_limit_bounds_the_answer(tmp_path: Path, source: Source) -> None:
    """The best items are returned, up to the limit."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz club")
        everything = await catalog.recommended(source)
        assert everything[:3] == await catalog.recommended(source, 3)


@every_source
async def test_items_below_the_minimum_score_are_left_out(tmp_path: Path, source: Source) -> None:
    """Items with the minimum score are recommended, and items below it are not."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz club")
        answer = await catalog.recommender.recommend(Query(source, 10))
        floor = answer.recommendations[2].score
        query = Query(source, 10, min_score=floor)
        assert ids(answer)[:3] == ids(await catalog.recommender.recommend(query))
        above = Query(source, 10, min_score=floor + 1e-4)
        assert ids(answer)[:2] == ids(await catalog.recommender.recommend(above))


@every_source
async def test_the_full_view_contains_the_items(tmp_path: Path, source: Source) -> None:
    """With the full view, each recommendation has the item as stored."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz club")
        answer = await catalog.recommender.recommend(Query(source, 3, full=True))
        assert ids(answer) == await catalog.recommended(source, 3)
        for item in answer.recommendations:
            assert await catalog.items.get(item.item_id) == item.item


async def test_equal_scores_are_ordered_by_id(tmp_path: Path) -> None:
    """Items with equal texts are in the byte order of their ids, also at the limit."""
    names = ["é", "b", "a", "B", "\U0001f600", "10"]
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for name in names:
            await catalog.put(name, "the same tea")
        await catalog.put("other", "coffee")
        await catalog.put_user("u", "the same tea")
        expected = sorted(names, key=str.encode)
        for source in (TextSource("tea"), UserSource("u")):
            for limit in (1, 4, 6):
                assert expected[:limit] == await catalog.recommended(source, limit)


async def test_exact_and_approximate_search_agree_on_a_small_catalog(tmp_path: Path) -> None:
    """For a user, exact search gives the result of approximate search on a small catalog."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz club", Preference("snow", -0.5), liked=("heist",))
        approximate = await catalog.recommender.recommend(Query(UserSource("u"), 10))
        exact = await catalog.recommender.recommend(Query(UserSource("u"), 10, exact=True))
        assert approximate.recommendations == exact.recommendations


async def test_a_query_reflects_earlier_writes(tmp_path: Path) -> None:
    """After an item is written, replaced or deleted, the next query reflects that."""
    async with films(tmp_path) as catalog:
        await catalog.put("new", "northern jazz wolves")
        assert "new" == (await catalog.recommended(TextSource("northern jazz wolves")))[0]
        await catalog.put("new", "knitting patterns")
        assert "new" == (await catalog.recommended(TextSource("knitting patterns")))[0]
        await catalog.items.delete("new", allow_missing=False)
        assert "new" not in await catalog.recommended(TextSource("knitting patterns"))


async def test_a_query_reflects_a_write_it_waited_for(tmp_path: Path) -> None:
    """After waiting for the sequence number of a write, a query reflects it."""
    async with films(tmp_path) as catalog:
        await catalog.text_embedder.embed_documents(["knitting"])
        (stored,) = await catalog.stores.items.upsert_many(
            catalog.row, [indexed("new", "knitting")]
        )
        await catalog.follower.wait_for(stored.sequence)
        answer = await catalog.recommender.recommend(Query(TextSource("knitting"), 1))
        assert ["new"] == ids(answer)
        assert stored.sequence <= answer.sequence


async def test_an_expired_item_is_neither_recommended_nor_a_source(tmp_path: Path) -> None:
    """From its expire time on, an item is no result, no source and no liked item."""
    clock = FakeClock()
    async with films(tmp_path, clock) as catalog:
        await catalog.put("brief", "northern jazz", clock.now_us + 1)
        await catalog.put_user("u", liked=("brief",))
        assert "brief" in await catalog.recommended(TextSource("jazz"))
        clock.advance(microseconds=1)
        assert "brief" not in await catalog.recommended(TextSource("jazz"))
        with pytest.raises(errors.ItemNotFound):
            await catalog.recommended(ItemSource("brief"))
        answer = await catalog.recommender.recommend(Query(UserSource("u"), 10))
        assert ("brief",) == answer.missing_item_ids


@pytest.mark.parametrize(
    ("source", "error"),
    [(ItemSource("nobody"), errors.ItemNotFound), (UserSource("nobody"), errors.UserNotFound)],
)
async def test_a_missing_source_is_an_error(
    tmp_path: Path, source: Source, error: type[errors.AkinError]
) -> None:
    """An unknown item raises ItemNotFound, and an unknown user UserNotFound."""
    async with films(tmp_path) as catalog:
        with pytest.raises(error):
            await catalog.recommended(source)


async def test_an_outage_affects_only_new_texts(tmp_path: Path) -> None:
    """During an outage, queries by item, by user and by an embedded text still work."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        await catalog.put("a", "green tea")
        await catalog.put("b", "black tea")
        await catalog.put_user("u", "green things")
        embedder.fault = Fault.UNAVAILABLE
        with pytest.raises(errors.EmbeddingUnavailable):
            await catalog.recommended(TextSource("coffee"))
        assert ["b"] == await catalog.recommended(ItemSource("a"))
        assert ["a", "b"] == await catalog.recommended(UserSource("u"))
        assert ["a", "b"] == await catalog.recommended(TextSource("green tea"))
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        assert ["a", "b"] == await catalog.recommended(UserSource("u"))


async def test_an_empty_catalog_gives_an_empty_answer(tmp_path: Path) -> None:
    """In a catalog without items, a query has an empty answer."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        await catalog.put_user("u", "tea")
        assert [] == await catalog.recommended(TextSource("tea"))
        assert [] == await catalog.recommended(UserSource("u"))


async def test_concurrent_queries_and_writes_see_whole_items(tmp_path: Path) -> None:
    """While items change, every full answer has items as stored, and each id once."""
    async with films(tmp_path) as catalog:
        await catalog.put_user("u", "jazz", "wolves")
        queries = [
            await started(catalog.recommender.recommend(Query(source, 10, full=True)))
            for source in SOURCES * 20
        ]
        writes = [catalog.put(f"new {n % 7}", f"jazz wolves {n}") for n in range(60)]
        await asyncio.gather(*writes)
        for answer in await asyncio.gather(*queries):
            recommended = ids(answer)
            assert len(recommended) == len(set(recommended))
            for item in answer.recommendations:
                assert item.item is not None
                assert item.item_id == item.item.item.item_id
        assert 7 + len(FILMS) == catalog.follower.item_count


def test_the_heaviest_likes_are_selected() -> None:
    """Beyond the limit, likes and dislikes of the smallest weight are dropped."""
    light = [LikedItem(f"l{n}", 0.1) for n in range(10)]
    heavy = [LikedItem(f"h{n}", weight) for n, weight in enumerate([1.0, -1.0] * 5)]
    assert heavy == _select_heaviest([*light, *heavy], 10)


def test_the_latest_of_equal_likes_are_selected() -> None:
    """Of likes of equal weight the last ones are selected, in their order."""
    likes = [LikedItem(f"i{n}") for n in range(20)]
    assert likes[-5:] == _select_heaviest(likes, 5)
    assert likes == _select_heaviest(likes, 20)
