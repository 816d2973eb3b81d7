import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.analysis import (
    classify_text,
    cluster_items,
    find_duplicates,
    find_outliers,
    groups,
    search_passages,
)
from support.catalogs import Catalog, running
from support.clock import START_US, FakeClock
from support.embedders import Fault, FaultyEmbedder, WordEmbedder, unit_vector
from support.texts import distinct

from service import errors
from service.domain.analyses import (
    ClassificationQuery,
    ClustersQuery,
    DuplicatesQuery,
    OutliersQuery,
    PassagesQuery,
)
from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Item
from service.embedding.embedder import BatchLimits
from service.telemetry.call_context import deadline

RED = Filter(all=(Condition("colour", Equals("red")),))
STORY = "an old captain sails a small ship to the far islands of his youth and finds a wreck"


@asynccontextmanager
async def filled(
    folder: Path, texts: dict[str, str], clock: FakeClock | None = None
) -> AsyncIterator[Catalog]:
    """A catalog of texts; items whose ids begin with r are red."""
    async with running(folder, FaultyEmbedder(), clock or FakeClock()) as catalog:
        for item_id, text in texts.items():
            await put(catalog, item_id, text)
        yield catalog


async def put(catalog: Catalog, item_id: str, text: str, expire_us: int | None = None) -> None:
    colour = "red" if item_id.startswith("r") else "blue"
    await catalog.put_item(
        Item(
            item_id,
            text,
            {"colour": colour, "tags": [colour, text.split(maxsplit=1)[0]]},
            expire_us,
        ),
    )


@contextmanager
def no_time_left() -> Iterator[None]:
    token = deadline.set(time.monotonic() - 1.0)
    try:
        yield
    finally:
        deadline.reset(token)


def some_texts(number: int) -> dict[str, str]:
    drawn = random.Random(1)
    return {f"{'rb'[n % 2]}{n:03}": distinct(drawn.randrange(4_000)) for n in range(number)}


async def test_copies_are_grouped(tmp_path: Path) -> None:
    """Equal, capitalised and slightly changed texts make one group, led by the first written."""
    texts = some_texts(60) | {
        "z-first": STORY,
        "a-capital": STORY.capitalize(),
        "b-longer": f"{STORY} at last",
        "c-equal": STORY,
    }
    async with filled(tmp_path, texts) as catalog:
        answers = await find_duplicates(catalog, DuplicatesQuery(min_similarity=-1.0))
        (group,) = [each for each in groups(answers) if "z-first" in each]
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
        assert [set(group)] == [set(each) for each in around]


async def test_hundreds_of_copies_are_one_group(tmp_path: Path) -> None:
    """Of groups of hundreds of equal texts, also of variants of one, none is left out."""
    copies = {f"{n:03}": STORY for n in range(300)} | {f"x{n:03}": STORY + "!" for n in range(200)}
    async with filled(tmp_path, {**copies, **some_texts(20)}) as catalog:
        found = groups(await find_duplicates(catalog, DuplicatesQuery(min_similarity=0.5)))
        assert set(copies) == set(found[0])
        assert sorted(map(len, found), reverse=True) == list(map(len, found))


async def test_duplicates_keep_to_the_filter(tmp_path: Path) -> None:
    """With a filter neither items nor their copies that do not pass are found."""
    async with filled(tmp_path, {"r1": STORY, "r2": STORY, "b1": STORY}) as catalog:
        found = groups(await find_duplicates(catalog, DuplicatesQuery(filter=RED)))
        assert [["r1", "r2"]] == found
        assert [] == groups(await find_duplicates(catalog, DuplicatesQuery("b1", filter=RED)))


async def test_duplicates_around_what_is_not_there(tmp_path: Path) -> None:
    """An unknown item is ItemNotFound, one without its vector EmbeddingUnavailable."""
    embedder = FaultyEmbedder()
    async with running(tmp_path, embedder, FakeClock()) as catalog:
        with pytest.raises(errors.ItemNotFound):
            await find_duplicates(catalog, DuplicatesQuery("nothing"))
        embedder.fault = Fault.UNAVAILABLE
        await catalog.put("waits", "a text that waits")
        with pytest.raises(errors.EmbeddingUnavailable):
            await find_duplicates(catalog, DuplicatesQuery("waits"))


async def test_what_waits_or_expired_takes_no_part(tmp_path: Path) -> None:
    """Items without vectors and expired ones are in no answer."""
    clock, embedder = FakeClock(), FaultyEmbedder()
    async with running(tmp_path, embedder, clock) as catalog:
        for item_id, text in (("r1", STORY), ("r2", STORY), ("r3", "wolves hunt in the snow")):
            await put(catalog, item_id, text)
        await put(catalog, "expires", STORY, START_US + 1)
        clock.advance(seconds=1.0)
        embedder.fault = Fault.UNAVAILABLE
        await put(catalog, "waits", STORY + " today")
        assert [["r1", "r2"]] == groups(await find_duplicates(catalog, DuplicatesQuery()))
        outliers = await find_outliers(catalog, OutliersQuery())
        assert {"r1", "r2", "r3"} == {each.item_id for each in outliers.outliers}
        clusters = await cluster_items(catalog, ClustersQuery(2, point_limit=10))
        assert {"r1", "r2", "r3"} == {each.item_id for each in clusters.points}
        assert 3 == sum(each.item_count for each in clusters.clusters)
        labels = await classify_text(catalog, ClassificationQuery(STORY, "colour"))
        assert {"r1", "r2", "r3"} == {each.item_id for each in labels.neighbors}
        passages = await search_passages(catalog, PassagesQuery(STORY))
        assert ["r1", "r2", "r3"] == [each.item_id for each in passages.passages]


@pytest.mark.parametrize("wanted", [None, RED], ids=["all", "red"])
async def test_outliers_agree_with_all_cosines(tmp_path: Path, wanted: Filter | None) -> None:
    """Scores are the mean of the ten highest cosines, lowest first, with or without a filter."""
    texts = some_texts(50)
    async with filled(tmp_path, texts) as catalog:
        answer = await find_outliers(catalog, OutliersQuery(1000, wanted))
        ids = [each for each in texts if wanted is None or each.startswith("r")]
        vectors = np.stack([unit_vector(texts[each]) for each in ids])
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2.0)
        means = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
        expected = dict(zip(ids, means.tolist(), strict=True))
        assert set(ids) == {each.item_id for each in answer.outliers}
        for each in answer.outliers:
            assert pytest.approx(expected[each.item_id], abs=1e-5) == each.mean_similarity
        scores = [(each.mean_similarity, each.item_id) for each in answer.outliers]
        assert sorted(scores) == scores
        few = await find_outliers(catalog, OutliersQuery(3, wanted, full=True))
        assert scores[:3] == [(each.mean_similarity, each.item_id) for each in few.outliers]
        for each in few.outliers:
            assert each.item is not None
            assert texts[each.item_id] == each.item.item.text


async def test_a_lone_item_is_like_nothing(tmp_path: Path) -> None:
    """An item without any other has the score 0 and no neighbor; nothing has no outliers."""
    async with filled(tmp_path, {}) as catalog:
        assert [] == list((await find_outliers(catalog, OutliersQuery())).outliers)
        await put(catalog, "alone", STORY)
        (alone,) = (await find_outliers(catalog, OutliersQuery())).outliers
        assert ("alone", 0.0, "") == alone[:3]


async def test_near_the_deadline_a_sample_answers(tmp_path: Path) -> None:
    """Where there is no time left, what was looked at answers, and says that it is a sample."""
    async with filled(tmp_path, some_texts(30)) as catalog:
        with no_time_left():
            answers = await find_duplicates(catalog, DuplicatesQuery())
            outliers = await find_outliers(catalog, OutliersQuery())
            clusters = await cluster_items(catalog, ClustersQuery(3))
        for coverage in (answers[-1].coverage, outliers.coverage, clusters.coverage):
            assert (30, 0, True) == (
                coverage.item_count,
                coverage.examined_item_count,
                coverage.sampled,
            )
        assert [] == [*groups(answers), *outliers.outliers, *clusters.clusters]


async def test_fewer_items_than_groups(tmp_path: Path) -> None:
    """More groups than items are refused; as many make each item a group of its own."""
    async with filled(tmp_path, some_texts(6)) as catalog:
        with pytest.raises(errors.TooFewItems):
            await cluster_items(catalog, ClustersQuery(7))
        answer = await cluster_items(catalog, ClustersQuery(6))
        assert [1] * 6 == [each.item_count for each in answer.clusters]
        nothing = await cluster_items(
            catalog, ClustersQuery(filter=Filter(all=(Condition("colour", Equals("green")),)))
        )
        assert [] == list(nothing.clusters)


async def test_clusters_follow_the_subjects(tmp_path: Path) -> None:
    """Texts on different subjects fall apart, with their words, their own and nearest items."""
    subjects = {
        "sea": "the ship sails over the stormy ocean with sailors",
        "food": "a chef cooks pasta with garlic and tomatoes",
        "space": "astronauts orbit a distant planet by rocket",
    }
    texts = {f"{name}{n}": f"{text} {n}" for name, text in subjects.items() for n in range(12)}
    async with filled(tmp_path, texts) as catalog:
        query = ClustersQuery(0, representative_limit=4, point_limit=36)
        answer = await cluster_items(catalog, query)
        assert [12, 12, 12] == [each.item_count for each in answer.clusters]
        for number, each in enumerate(answer.clusters):
            (subject,) = {
                point.item_id.rstrip("0123456789")
                for point in answer.points
                if point.cluster_index == number
            }
            assert set(each.keywords) <= set(subjects[subject].split())
            assert 4 == len(each.representatives)
            assert {subject} == {one.item_id.rstrip("0123456789") for one in each.representatives}
            near = [one.similarity for one in each.representatives]
            assert sorted(near, reverse=True) == near
        assert answer == await cluster_items(catalog, query)
        red = await cluster_items(catalog, replace(query, filter=RED))
        assert [] == list(red.clusters)


async def test_labels_count_each_value(tmp_path: Path) -> None:
    """Each value of a list counts, excluded items and those without the attribute do not vote."""
    texts = {"r1": "jazz trumpet club", "r2": "jazz trumpet band", "b1": "wolves hunt snow"}
    async with filled(tmp_path, texts) as catalog:
        await catalog.put("bare", "jazz trumpet club")
        answer = await classify_text(
            catalog, ClassificationQuery("jazz trumpet club", "tags", neighbor_count=2)
        )
        assert ["r1", "r2"] == [each.item_id for each in answer.neighbors]
        assert {"red", "jazz"} == {each.value for each in answer.labels}
        assert answer.labels[0].probability == answer.labels[1].probability
        assert ["jazz", "red"] == [each.value for each in answer.labels]
        other = await classify_text(
            catalog,
            ClassificationQuery("jazz trumpet club", "colour", exclude_item_ids=("r1", "r2")),
        )
        assert ["blue"] == [each.value for each in other.labels]
        red = await classify_text(catalog, ClassificationQuery("wolves hunt", "colour", RED))
        assert {"r1", "r2"} == {each.item_id for each in red.neighbors}
        nothing = await classify_text(catalog, ClassificationQuery("jazz", "no.such.attribute"))
        assert ([], []) == (list(nothing.labels), list(nothing.neighbors))


class SmallEmbedder(WordEmbedder):
    """An embedder that takes few words at once."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(256, tokens=2**40, text_tokens=20)


async def test_passages_agree_with_all_cosines(tmp_path: Path) -> None:
    """The passages are the best of all there are, cut by limit, number per item and score."""
    drawn = random.Random(3)
    texts = {
        f"i{n}": " ".join(f"{distinct(drawn.randrange(4_000))} Über." for _ in range(n % 7 + 1))
        for n in range(30)
    }
    async with running(tmp_path, SmallEmbedder(), FakeClock()) as catalog:
        for item_id, text in texts.items():
            await catalog.put(item_id, text)
        for item_id in ("i3", "i8", "i12"):  # so that rows move and passages are put again
            await catalog.items.delete(item_id, allow_missing=False)
            await catalog.put(item_id, texts[item_id])
        query = unit_vector("violinist in Norway")
        expected = sorted(
            (
                (-float(unit_vector(text[span.start : span.end]) @ query), item_id, span.start)
                for item_id, text in texts.items()
                for span in catalog.text_embedder.split_into_chunks(text)
            ),
        )
        answer = await search_passages(catalog, PassagesQuery("violinist in Norway", limit=25))
        assert 25 == len(answer.passages)
        for (negative, item_id, _), each in zip(expected, answer.passages, strict=False):
            assert item_id == each.item_id
            assert pytest.approx(-negative, abs=1e-5) == each.score
            whole = texts[item_id].encode()
            assert each.text.encode() == whole[each.start_offset : each.end_offset]
            assert pytest.approx(each.score, abs=1e-5) == float(unit_vector(each.text) @ query)
        single = await search_passages(
            catalog, PassagesQuery("violinist in Norway", limit=1000, limit_per_item=1)
        )
        assert len(texts) == len(single.passages) == len({p.item_id for p in single.passages})
        least = answer.passages[4].score
        cut = await search_passages(catalog, PassagesQuery("violinist in Norway", min_score=least))
        assert list(answer.passages[:5]) == list(cut.passages)


async def test_what_is_deleted_during_the_work_is_not_told(tmp_path: Path) -> None:
    """Items that come and go while answers are made never make them fail, nor stay in them."""
    async with filled(tmp_path, {**some_texts(200), "d1": STORY, "d2": STORY}) as catalog:
        duplicates, outliers, clusters, _, _ = await asyncio.gather(
            find_duplicates(catalog, DuplicatesQuery()),
            find_outliers(catalog, OutliersQuery(1000)),
            cluster_items(catalog, ClustersQuery(3, point_limit=1000)),
            catalog.items.delete("d1", allow_missing=False),
            catalog.items.delete("r000", allow_missing=False),
        )
        assert 200 <= len(outliers.outliers) <= 202
        assert 3 == len(clusters.clusters)
        found = groups(duplicates)
        assert not [each for each in found if "d1" in each or "r000" in each]
