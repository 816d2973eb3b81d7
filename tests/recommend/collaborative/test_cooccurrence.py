import numpy as np
import pytest
from support.item_lists import build_histories, draw_lists, sum_pairs, to_dense

from service.recommend.collaborative.cooccurrence import (
    BLOCK_PLACES,
    PAIR_LIMIT,
    PairCounter,
    split_blocks,
)
from service.recommend.collaborative.histories import select_likes, to_offsets
from service.recommend.collaborative.item_likes import WINDOW, ItemLikes
from service.recommend.collaborative.sparse_rows import join_rows


def test_two_people_by_hand() -> None:
    """Neighbors in a list count 0.3 + 0.7 exp(-1/40), and exp(-1/15) toward the later one."""
    item_likes = ItemLikes(build_histories([[0, 1], [1, 0], [0, 2]], 3))
    pairs = PairCounter(item_likes, min_people=2).count(0, 3)
    near = 2 * (0.3 + 0.7 * np.exp(-1 / 40))
    following = np.exp(-1 / 15) / (np.sqrt(3 * 2) + 5)
    expected = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(near * expected, to_dense(pairs.cooccurrence, 3), rtol=1e-6)
    np.testing.assert_allclose(following * expected, to_dense(pairs.following, 3), rtol=1e-6)


@pytest.mark.parametrize("min_people", [1, 2, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_counts_equal_dense_sums(min_people: int, *, is_weighted: bool) -> None:
    """On random lists, with and without weights, the sparse sums equal the dense ones."""
    lists = draw_lists(1, people=60, item_count=30)
    rng = np.random.default_rng(2)
    weights = [rng.choice([0.25, 0.5, 1.0], len(items)).tolist() for items in lists]
    likes = select_likes(build_histories(lists, 30, weights if is_weighted else None))
    pairs = PairCounter(ItemLikes(likes), min_people).count(0, 30)
    near, following = sum_pairs(likes, min_people)
    # The diagonal of the sums is what an item's likes weigh.
    np.testing.assert_allclose(near, to_dense(pairs.cooccurrence, 30), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(following, to_dense(pairs.following, 30), rtol=1e-5, atol=1e-6)


def test_ranges_of_items_join_to_all_items() -> None:
    """Counting in several ranges gives the same rows as counting all items at once."""
    item_likes = ItemLikes(build_histories(draw_lists(3, 80, 40), 40))
    whole = PairCounter(item_likes, 2).count(0, 40)
    counter = PairCounter(item_likes, 2)
    parts = [counter.count(first, last) for first, last in [(0, 7), (7, 7), (7, 33), (33, 40)]]
    joined = join_rows([part.cooccurrence for part in parts])
    np.testing.assert_array_equal(whole.cooccurrence.columns, joined.columns)
    np.testing.assert_array_equal(whole.cooccurrence.weights, joined.weights)


def test_item_of_many_likes_is_counted_in_parts() -> None:
    """An item whose places do not fit into one block has the same pairs as the others."""
    others = 2 * WINDOW
    people = BLOCK_PLACES // others + 1
    lists = [[0, *range(1, others)] for _ in range(people)]
    item_likes = ItemLikes(build_histories(lists, others))
    places = np.diff(item_likes.place_offsets[item_likes.offsets])
    assert places[WINDOW] > BLOCK_PLACES
    pairs = PairCounter(item_likes, 3).count(WINDOW, WINDOW + 1)
    columns, weights = pairs.cooccurrence.get_row(0)
    distances = np.abs(columns - WINDOW)
    expected = people * (0.3 + 0.7 * np.exp(-distances / 40))
    assert set(range(others)) - {WINDOW} == set(columns.tolist())
    np.testing.assert_allclose(expected, weights, rtol=1e-4)


def test_places_beyond_the_window_make_no_pair() -> None:
    """Two likes make a pair up to WINDOW places apart, and not one place farther."""
    item_likes = ItemLikes(build_histories([list(range(WINDOW + 2))], WINDOW + 2))
    pairs = PairCounter(item_likes, 1).count(0, 1)
    assert list(range(1, WINDOW + 1)) == sorted(pairs.cooccurrence.columns.tolist())


def test_rows_hold_the_strongest_pairs_in_falling_order() -> None:
    """A row has at most PAIR_LIMIT pairs, the strongest ones, in falling order."""
    item_count = 4 * PAIR_LIMIT + 200
    histories = build_histories(draw_lists(5, 1_500, item_count, longest=WINDOW), item_count)
    weights = PairCounter(ItemLikes(histories), 1).count(0, 1).cooccurrence.weights
    all_weights = sum_pairs(histories, 1)[0][0]
    assert np.count_nonzero(all_weights) > 4 * PAIR_LIMIT
    np.testing.assert_allclose(np.sort(all_weights)[::-1][:PAIR_LIMIT], weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("counts", "blocks"),
    [
        ([1, 2, 3, 4], [(0, 2), (2, 3), (3, 4)]),
        ([9, 1, 0, 9], [(0, 1), (1, 3), (3, 4)]),
        ([0, 0, 0], [(0, 3)]),
        ([], []),
    ],
)
def test_blocks_hold_all_rows_in_order(counts: list[int], blocks: list[tuple[int, int]]) -> None:
    """Blocks have at most 4 entries here, except blocks of one row."""
    offsets = to_offsets(np.array(counts, np.int64))
    assert blocks == list(split_blocks(offsets, 0, len(counts), 4))
