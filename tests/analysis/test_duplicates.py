from pathlib import Path

import pytest
from support.analysis import (
    RED,
    STORY,
    draw_texts,
    find_duplicates,
    groups,
    list_groups,
    put_many,
    running_with_graphs,
    running_with_texts,
)
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import Fault, FaultyEmbedder

from service import errors
from service.analysis.duplicates import MAX_MESSAGE_ITEMS
from service.domain.analyses import MAX_NEIGHBORS, DuplicatesQuery


async def test_copies_are_grouped(tmp_path: Path) -> None:
    """Equal, capitalized and slightly changed texts are one group; its first is the oldest."""
    texts = draw_texts(60) | {
        "z-first": STORY,
        "a-capital": STORY.capitalize(),
        "b-longer": f"{STORY} at last",
        "c-equal": STORY,
    }
    async with running_with_texts(tmp_path, texts) as catalog:
        answers = await find_duplicates(catalog, DuplicatesQuery(min_similarity=-1.0))
        (group,) = [group for group in groups(answers) if "z-first" in group]
        assert "z-first" == group[0]
        assert {"z-first", "a-capital", "b-longer", "c-equal"} == set(group)
        assert (64, 64, False) == (
            answers[-1].coverage.item_count,
            answers[-1].coverage.examined_item_count,
            answers[-1].coverage.sampled,
        )
        strict = groups(await find_duplicates(catalog, DuplicatesQuery(min_similarity=1.0)))
        assert ["z-first", "c-equal"] in strict
        around = groups(await find_duplicates(catalog, DuplicatesQuery("c-equal", -1.0)))
        assert [set(group)] == [set(members) for members in around]


async def test_hundreds_of_copies_are_one_group(tmp_path: Path) -> None:
    """A group of hundreds of copies, in two variants, is complete."""
    copies = {f"{n:03}": STORY for n in range(300)} | {f"x{n:03}": STORY + "!" for n in range(200)}
    async with running_with_texts(tmp_path, {**copies, **draw_texts(20)}) as catalog:
        duplicates = groups(await find_duplicates(catalog, DuplicatesQuery(min_similarity=0.5)))
        assert set(copies) == set(duplicates[0])
        sizes = [len(group) for group in duplicates]
        assert sorted(sizes, reverse=True) == sizes


async def test_duplicates_match_the_filter(tmp_path: Path) -> None:
    """With a filter, neither items nor copies that do not match it are in a group."""
    async with running_with_texts(tmp_path, {"r1": STORY, "r2": STORY, "b1": STORY}) as catalog:
        duplicates = groups(await find_duplicates(catalog, DuplicatesQuery(filter=RED)))
        assert [["r1", "r2"]] == duplicates
        assert [] == groups(await find_duplicates(catalog, DuplicatesQuery("b1", filter=RED)))


async def test_duplicates_of_a_missing_item_are_an_error(tmp_path: Path) -> None:
    """An unknown item raises ItemNotFound, and one without a vector EmbeddingUnavailable."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        with pytest.raises(errors.ItemNotFound):
            await find_duplicates(catalog, DuplicatesQuery("nothing"))
        embedder.fault = Fault.UNAVAILABLE
        await catalog.put("waits", "a text that waits")
        with pytest.raises(errors.EmbeddingUnavailable):
            await find_duplicates(catalog, DuplicatesQuery("waits"))


async def test_a_group_larger_than_a_message_is_truncated(tmp_path: Path) -> None:
    """A group has as many items as a message, the oldest ones, and is reported as truncated."""
    copies = {f"c{n:05}": "a b" for n in range(MAX_MESSAGE_ITEMS + 1)}
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, {**copies, "x1": STORY, "x2": STORY})
        events = await find_duplicates(catalog, DuplicatesQuery())
        large, small = list_groups(events)
        assert (True, False) == (large.truncated, small.truncated)
        assert sorted(copies)[:-1] == [item.item_id for item in large.items]
        assert ["x1", "x2"] == [item.item_id for item in small.items]


async def test_a_group_beyond_the_neighbors_of_its_item_is_truncated(tmp_path: Path) -> None:
    """The group of one item is reported as truncated if it reaches the limit of neighbors."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, {f"c{n:04}": STORY for n in range(MAX_NEIGHBORS)})
        for more, size, truncated in (
            ({"x": "another text"}, MAX_NEIGHBORS, False),
            ({"d1": STORY, "d2": STORY}, MAX_NEIGHBORS + 1, True),
        ):
            await put_many(catalog, more)
            events = await find_duplicates(catalog, DuplicatesQuery("c0000"))
            (group,) = list_groups(events)
            assert (size, truncated) == (len(group.items), group.truncated)


async def test_exact_finds_every_group(tmp_path: Path) -> None:
    """With graphs, an exact search finds the pairs that an approximate one misses."""
    texts = {f"i{n:03}": " ".join(f"w{n}x{word}" for word in range(20)) for n in range(150)}
    pairs = texts | {f"j{item_id}": f"{text} more" for item_id, text in texts.items()}
    expected = [[item_id, f"j{item_id}"] for item_id in texts]
    async with running_with_graphs(tmp_path, pairs) as catalog:
        assert [] == groups(await find_duplicates(catalog, DuplicatesQuery()))
        assert expected == groups(await find_duplicates(catalog, DuplicatesQuery(exact=True)))
        around = DuplicatesQuery("ji007", exact=True)
        assert [["i007", "ji007"]] == groups(await find_duplicates(catalog, around))
