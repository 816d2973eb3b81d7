"""Analyses of a catalog with a shared index have the results of one in memory."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.analysis import (
    RED,
    STORY,
    classify_text,
    cluster_items,
    draw_texts,
    find_duplicates,
    find_outliers,
    list_groups,
    put_colored,
    search_passages,
)
from support.catalogs import Catalog
from support.clock import FakeClock
from support.compared_catalogs import ComparedCatalog, compare_catalogs
from support.embedders import WordEmbedder
from support.shared_indexes import LOCAL_MODE_WARNINGS
from support.shared_reads import SCORE_TOLERANCE, draw_vectors, write_vectors
from support.stores import pending
from support.texts import distinct

from service.domain.analyses import (
    ClassificationQuery,
    ClustersQuery,
    DuplicatesQuery,
    OutliersQuery,
    Passage,
    PassagesQuery,
)
from service.domain.filters import Filter
from service.embedding.embedder import BatchLimits

pytestmark = LOCAL_MODE_WARNINGS

FILTERS = pytest.mark.parametrize("filter_", [None, RED], ids=["all", "red"])

TOPICS = ("sea ship captain island", "love letter rose night", "war spy city bridge")


def create_embedder() -> WordEmbedder:
    """Return an embedder whose model takes few words, so that long texts have several chunks."""
    embedder = WordEmbedder()
    embedder.limits = BatchLimits(256, tokens=2**40, text_tokens=30)
    return embedder


@asynccontextmanager
async def comparing(folder: Path) -> AsyncIterator[ComparedCatalog]:
    """Run a catalog whose engine has some of the items, and some in a former version."""
    texts = draw_texts(30)
    async with compare_catalogs(folder, FakeClock(), embedder=create_embedder()) as compared:
        for item_id, text in texts.items():
            await put_colored(compared.catalog, item_id, text)
        for item_id in ("r900", "b901"):
            await put_colored(compared.catalog, item_id, STORY)
        await compared.replica.settle()
        stores, row = compared.catalog.stores, compared.catalog.row
        await stores.items.delete_many(row, ["r000", "b001"])
        own = write_vectors("r950", draw_vectors(3, 1), {"color": "red"}, are_own=True)
        await stores.items.upsert_many(row, [pending("r951", "text"), own])
        for item_id in ("r002", "b003", "r902", "b903"):
            await put_colored(compared.catalog, item_id, f"{STORY} {item_id}")
        await put_colored(compared.catalog, "r904", f"{STORY} and then he sees the sea. " * 5)
        await compared.follow()
        assert 0 < compared.replica.follower.tail.change_count < len(texts)
        yield compared


def assert_equal_scores(
    expected: Sequence[tuple[str, float]], scores: Sequence[tuple[str, float]]
) -> None:
    """Check that items are the same in the same order, with equal scores except for rounding."""
    assert [item_id for item_id, _ in expected] == [item_id for item_id, _ in scores]
    for (_, wanted), (_, score) in zip(expected, scores, strict=True):
        assert pytest.approx(wanted, abs=SCORE_TOLERANCE) == score


@FILTERS
async def test_outliers_are_the_same(tmp_path: Path, filter_: Filter | None) -> None:
    """The outliers have the same order, scores and nearest items."""
    async with comparing(tmp_path) as compared:
        for exact in (False, True):
            query = OutliersQuery(100, filter_, exact=exact)
            expected = await find_outliers(compared.catalog, query)
            answer = await find_outliers(compared.shared_catalog, query)
            assert expected.coverage == answer.coverage
            scores = {outlier.item_id: outlier.mean_similarity for outlier in expected.outliers}
            assert scores.keys() == {outlier.item_id for outlier in answer.outliers}
            for outlier in answer.outliers:
                wanted = scores[outlier.item_id]
                assert pytest.approx(wanted, abs=SCORE_TOLERANCE) == outlier.mean_similarity
            means = [outlier.mean_similarity for outlier in answer.outliers]
            assert sorted(means) == means


async def list_duplicates(
    catalog: Catalog, query: DuplicatesQuery
) -> dict[frozenset[str], list[tuple[str, float]]]:
    """Return the items and cosines of each group, by the ids of its items."""
    groups = list_groups(await find_duplicates(catalog, query))
    return {
        frozenset(item.item_id for item in group.items): [
            (item.item_id, item.similarity) for item in group.items
        ]
        for group in groups
    }


@FILTERS
@pytest.mark.parametrize("item_id", ["", "r904"])
async def test_duplicates_are_the_same(
    tmp_path: Path, filter_: Filter | None, item_id: str
) -> None:
    """Groups of near-duplicates have the same items and cosines, in a catalog and around one."""
    async with comparing(tmp_path) as compared:
        query = DuplicatesQuery(item_id, 0.6, filter_)
        expected = await list_duplicates(compared.catalog, query)
        groups = await list_duplicates(compared.shared_catalog, query)
        assert expected.keys() == groups.keys()
        assert groups
        for ids, items in groups.items():
            assert_equal_scores(expected[ids], items)


@FILTERS
async def test_labels_are_the_same(tmp_path: Path, filter_: Filter | None) -> None:
    """A text gets the same labels from the same neighbors."""
    async with comparing(tmp_path) as compared:
        for text in (STORY, distinct(17), "sea"):
            query = ClassificationQuery(text, "tags", filter_, 5, exclude_item_ids=("r900",))
            expected = await classify_text(compared.catalog, query)
            answer = await classify_text(compared.shared_catalog, query)
            assert_equal_scores(expected.neighbors, answer.neighbors)
            assert [label.value for label in expected.labels] == [
                label.value for label in answer.labels
            ]
            for wanted, label in zip(expected.labels, answer.labels, strict=True):
                assert pytest.approx(wanted.probability, abs=1e-4) == label.probability
            assert expected.sequence == answer.sequence


def list_spans(passages: Sequence[Passage]) -> list[tuple[str, float]]:
    """Return what passages are of, with their scores."""
    return [(f"{part.item_id} {part.start_offset} {part.text}", part.score) for part in passages]


@FILTERS
@pytest.mark.parametrize("limit_per_item", [0, 1])
async def test_passages_are_the_same(
    tmp_path: Path, filter_: Filter | None, limit_per_item: int
) -> None:
    """The passages have the same places in the same texts; items without a text have none."""
    async with comparing(tmp_path) as compared:
        for limit in (3, 50):
            query = PassagesQuery(
                "the captain sees the sea", limit, filter_, limit_per_item=limit_per_item
            )
            expected = await search_passages(compared.catalog, query)
            answer = await search_passages(compared.shared_catalog, query)
            assert_equal_scores(list_spans(expected.passages), list_spans(answer.passages))
            assert expected.sequence == answer.sequence
        several = [part for part in answer.passages if part.item_id == "r904"]
        assert (len(several) > 1) == (limit_per_item == 0)


async def list_clusters(
    catalog: Catalog, filter_: Filter | None
) -> dict[frozenset[str], dict[str, float]]:
    """Return the cosines of the items of each cluster, by their ids."""
    query = ClustersQuery(len(TOPICS), filter_, representative_limit=100)
    clusters = (await cluster_items(catalog, query)).clusters
    return {
        frozenset(item.item_id for item in cluster.representatives): {
            item.item_id: item.similarity for item in cluster.representatives
        }
        for cluster in clusters
    }


@FILTERS
async def test_clear_clusters_are_the_same(tmp_path: Path, filter_: Filter | None) -> None:
    """Items of topics without common words are in the same clusters, with the same cosines."""
    choices = random.Random(1)
    async with compare_catalogs(tmp_path, FakeClock()) as compared:
        for number in range(30):
            words = TOPICS[number % len(TOPICS)].split()
            text = " ".join([*choices.sample(words, 3), *words])
            await put_colored(compared.catalog, f"{'rb'[number % 2]}{number}", text)
            if number == 15:
                await compared.replica.settle()
        await compared.follow()
        expected = await list_clusters(compared.catalog, filter_)
        clusters = await list_clusters(compared.shared_catalog, filter_)
        assert len(TOPICS) == len(expected)
        assert expected.keys() == clusters.keys()
        for ids, cosines in clusters.items():
            assert pytest.approx(expected[ids], abs=SCORE_TOLERANCE) == cosines
