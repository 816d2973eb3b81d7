import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.analysis import (
    RED,
    STORY,
    classify_text,
    cluster_items,
    draw_texts,
    find_duplicates,
    find_outliers,
    groups,
    put_colored,
    running_with_texts,
    search_passages,
)
from support.catalogs import running
from support.clock import START_US, FakeClock
from support.embedders import Fault, FaultyEmbedder, unit_vector

from service import errors
from service.analysis.duplicates import DuplicateSearch
from service.domain.analyses import (
    ClassificationQuery,
    ClustersQuery,
    DuplicatesQuery,
    OutliersQuery,
    PassagesQuery,
)
from service.domain.filters import Condition, Equals, Filter
from service.domain.generations import Generation
from service.storage.database import Database
from service.storage.items import ItemStore
from service.storage.records import ItemExcerpt
from service.telemetry.call_context import deadline


@contextmanager
def no_time_left() -> Iterator[None]:
    token = deadline.set(time.monotonic() - 1.0)
    try:
        yield
    finally:
        deadline.reset(token)


async def test_pending_and_expired_items_are_not_analyzed(tmp_path: Path) -> None:
    """Pending items without vectors and expired items are in no result."""
    clock, embedder = FakeClock(), FaultyEmbedder()
    async with running(tmp_path, embedder, clock) as catalog:
        for item_id, text in (("r1", STORY), ("r2", STORY), ("r3", "wolves hunt in the snow")):
            await put_colored(catalog, item_id, text)
        await put_colored(catalog, "expires", STORY, START_US + 1)
        clock.advance(seconds=1.0)
        embedder.fault = Fault.UNAVAILABLE
        await put_colored(catalog, "waits", STORY + " today")
        assert [["r1", "r2"]] == groups(await find_duplicates(catalog, DuplicatesQuery()))
        outliers = await find_outliers(catalog, OutliersQuery())
        assert {"r1", "r2", "r3"} == {outlier.item_id for outlier in outliers.outliers}
        clusters = await cluster_items(catalog, ClustersQuery(2, point_limit=10))
        assert {"r1", "r2", "r3"} == {point.item_id for point in clusters.points}
        assert 3 == sum(cluster.item_count for cluster in clusters.clusters)
        labels = await classify_text(catalog, ClassificationQuery(STORY, "color"))
        assert {"r1", "r2", "r3"} == {neighbor.item_id for neighbor in labels.neighbors}
        passages = await search_passages(catalog, PassagesQuery(STORY))
        assert ["r1", "r2", "r3"] == [passage.item_id for passage in passages.passages]


@pytest.mark.parametrize("filter_", [None, RED], ids=["all", "red"])
async def test_outliers_agree_with_brute_force(tmp_path: Path, filter_: Filter | None) -> None:
    """Scores are the mean of the ten highest cosines, lowest first, with and without a filter."""
    texts = draw_texts(50)
    async with running_with_texts(tmp_path, texts) as catalog:
        answer = await find_outliers(catalog, OutliersQuery(1000, filter_))
        ids = [item_id for item_id in texts if filter_ is None or item_id.startswith("r")]
        vectors = np.stack([unit_vector(texts[item_id]) for item_id in ids])
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2.0)
        means = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
        expected = dict(zip(ids, means.tolist(), strict=True))
        assert set(ids) == {outlier.item_id for outlier in answer.outliers}
        for outlier in answer.outliers:
            assert pytest.approx(expected[outlier.item_id], abs=1e-5) == outlier.mean_similarity
        scores = [(outlier.mean_similarity, outlier.item_id) for outlier in answer.outliers]
        assert sorted(scores) == scores
        few = await find_outliers(catalog, OutliersQuery(3, filter_, full=True))
        assert scores[:3] == [
            (outlier.mean_similarity, outlier.item_id) for outlier in few.outliers
        ]
        for outlier in few.outliers:
            assert outlier.item is not None
            assert texts[outlier.item_id] == outlier.item.item.text


async def test_a_single_item_is_an_outlier_without_neighbors(tmp_path: Path) -> None:
    """The only item has score 0 and no neighbor; an empty catalog has no outliers."""
    async with running_with_texts(tmp_path, {}) as catalog:
        assert [] == list((await find_outliers(catalog, OutliersQuery())).outliers)
        await put_colored(catalog, "alone", STORY)
        (alone,) = (await find_outliers(catalog, OutliersQuery())).outliers
        assert ("alone", 0.0, "") == alone[:3]


async def test_an_analysis_without_time_returns_an_empty_sample(tmp_path: Path) -> None:
    """If there is no time left, the result covers no item and says that it is a sample."""
    async with running_with_texts(tmp_path, draw_texts(30)) as catalog:
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


async def test_more_clusters_than_items_are_refused(tmp_path: Path) -> None:
    """More clusters than items are an error; with as many, each item is a cluster."""
    async with running_with_texts(tmp_path, draw_texts(6)) as catalog:
        with pytest.raises(errors.TooFewItems):
            await cluster_items(catalog, ClustersQuery(7))
        answer = await cluster_items(catalog, ClustersQuery(6))
        assert [1] * 6 == [cluster.item_count for cluster in answer.clusters]
        nothing = await cluster_items(
            catalog, ClustersQuery(filter=Filter(all=(Condition("color", Equals("green")),)))
        )
        assert [] == list(nothing.clusters)


async def test_clusters_separate_subjects(tmp_path: Path) -> None:
    """Texts on different subjects are in clusters with their own keywords and items."""
    subjects = {
        "sea": "the ship sails over the stormy ocean with sailors",
        "food": "a chef cooks pasta with garlic and tomatoes",
        "space": "astronauts orbit a distant planet by rocket",
    }
    texts = {f"{name}{n}": f"{text} {n}" for name, text in subjects.items() for n in range(12)}
    async with running_with_texts(tmp_path, texts) as catalog:
        query = ClustersQuery(0, representative_limit=4, point_limit=36)
        answer = await cluster_items(catalog, query)
        assert [12, 12, 12] == [cluster.item_count for cluster in answer.clusters]
        for index, cluster in enumerate(answer.clusters):
            (subject,) = {
                point.item_id.rstrip("0123456789")
                for point in answer.points
                if point.cluster_index == index
            }
            assert set(cluster.keywords) <= set(subjects[subject].split())
            assert 4 == len(cluster.representatives)
            assert {subject} == {
                item.item_id.rstrip("0123456789") for item in cluster.representatives
            }
            similarities = [item.similarity for item in cluster.representatives]
            assert sorted(similarities, reverse=True) == similarities
        assert answer == await cluster_items(catalog, query)
        red = await cluster_items(catalog, replace(query, filter=RED))
        assert [] == list(red.clusters)


async def test_labels_are_all_values_of_the_neighbors(tmp_path: Path) -> None:
    """Each element of a list is a label; excluded items and those without one are ignored."""
    texts = {"r1": "jazz trumpet club", "r2": "jazz trumpet band", "b1": "wolves hunt snow"}
    async with running_with_texts(tmp_path, texts) as catalog:
        await catalog.put("bare", "jazz trumpet club")
        answer = await classify_text(
            catalog, ClassificationQuery("jazz trumpet club", "tags", neighbor_count=2)
        )
        assert ["r1", "r2"] == [neighbor.item_id for neighbor in answer.neighbors]
        assert {"red", "jazz"} == {label.value for label in answer.labels}
        assert answer.labels[0].probability == answer.labels[1].probability
        assert ["jazz", "red"] == [label.value for label in answer.labels]
        other = await classify_text(
            catalog,
            ClassificationQuery("jazz trumpet club", "color", exclude_item_ids=("r1", "r2")),
        )
        assert ["blue"] == [label.value for label in other.labels]
        red = await classify_text(catalog, ClassificationQuery("wolves hunt", "color", RED))
        assert {"r1", "r2"} == {neighbor.item_id for neighbor in red.neighbors}
        nothing = await classify_text(catalog, ClassificationQuery("jazz", "no.such.attribute"))
        assert ([], []) == (list(nothing.labels), list(nothing.neighbors))


class DeletingStore(ItemStore):
    """A store in which an item is deleted as soon as an analysis has read the first texts."""

    def __init__(self, database: Database, deleted_id: str) -> None:
        super().__init__(database)
        self._deleted_id = deleted_id

    async def excerpts(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, ItemExcerpt]:
        """Return the items, and delete one of them if it was read."""
        excerpts = await super().excerpts(generation, item_ids, characters)
        if self._deleted_id in excerpts:
            await self.delete_many(generation, [self._deleted_id])
        return excerpts


async def test_items_deleted_during_an_analysis_are_left_out(tmp_path: Path) -> None:
    """An item that is deleted after its text was compared is in no group."""
    texts = {**draw_texts(200), "d1": STORY, "d2": STORY, "d3": STORY}
    async with running_with_texts(tmp_path, texts) as catalog:
        store = DeletingStore(catalog.stores.database, "d1")
        search = DuplicateSearch(store, catalog.row, catalog.follower)
        events = [event async for event in search.find(DuplicatesQuery())]
        grouped_ids = {item_id for group in groups(events) for item_id in group}
        assert {"d2", "d3"} == grouped_ids & {"d1", "d2", "d3"}


async def test_items_can_be_deleted_during_analyses(tmp_path: Path) -> None:
    """Deleting items during analyses causes no error, whether or not they are in the results."""
    async with running_with_texts(
        tmp_path, {**draw_texts(200), "d1": STORY, "d2": STORY}
    ) as catalog:
        _, outliers, clusters, _, _ = await asyncio.gather(
            find_duplicates(catalog, DuplicatesQuery()),
            find_outliers(catalog, OutliersQuery(1000)),
            cluster_items(catalog, ClustersQuery(3, point_limit=1000)),
            catalog.items.delete("d1", allow_missing=False),
            catalog.items.delete("r000", allow_missing=False),
        )
        assert 200 <= len(outliers.outliers) <= 202
        assert 3 == len(clusters.clusters)
