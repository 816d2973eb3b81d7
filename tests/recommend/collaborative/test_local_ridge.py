import numpy as np
from support.item_lists import build_histories, draw_lists, sum_pairs, to_dense

from service.recommend.collaborative.cooccurrence import PAIR_LIMIT, PairCounter
from service.recommend.collaborative.item_likes import ItemLikes
from service.recommend.collaborative.local_ridge import NEIGHBOR_LIMIT, RIDGE, RidgeSolver
from service.recommend.collaborative.sparse_rows import build_rows


def test_two_neighbors_by_hand() -> None:
    """The weights of two neighbors solve their two equations."""
    pairs = {0: {1: 30.0, 2: 20.0}, 1: {0: 30.0, 2: 10.0}, 2: {0: 20.0, 1: 10.0}}
    rows = build_rows(
        [(np.array([*row]), np.array([*row.values()], np.float32)) for row in pairs.values()]
    )
    totals = np.array([50, 40, 30], np.float32)
    columns = RidgeSolver(rows, totals).solve(np.array([0]))
    matrix = np.array([[40 + RIDGE, 10], [10, 30 + RIDGE]])
    assert [1, 2] == columns.columns.tolist()
    np.testing.assert_allclose(np.linalg.solve(matrix, [30, 20]), columns.weights, rtol=1e-5)


def test_solutions_equal_dense_ones() -> None:
    """On random lists, each column solves the dense system of its strongest partners."""
    histories = build_histories(draw_lists(1, 300, 40), 40)
    item_likes = ItemLikes(histories)
    pairs = PairCounter(item_likes, 2).count(0, 40)
    columns = to_dense(RidgeSolver(pairs.cooccurrence, item_likes.totals).solve(np.arange(40)), 40)
    near = sum_pairs(histories, 2)[0]
    matrix = near + np.diag(item_likes.totals.astype(float) + float(RIDGE))
    for item in range(40):
        neighbors = np.flatnonzero(near[item])
        solution = np.linalg.solve(matrix[np.ix_(neighbors, neighbors)], near[item, neighbors])
        np.testing.assert_allclose(solution, columns[item, neighbors], rtol=1e-3, atol=1e-6)


def test_only_the_strongest_partners_are_neighbors() -> None:
    """An item with more partners than NEIGHBOR_LIMIT regresses on its strongest ones."""
    item_count = NEIGHBOR_LIMIT + 50
    weights = np.linspace(9, 1, item_count - 1).astype(np.float32)
    row = (np.arange(1, item_count), weights)
    empty = (np.zeros(0, np.int64), np.zeros(0, np.float32))
    rows = build_rows([row, *[empty] * (item_count - 1)])
    columns = RidgeSolver(rows, np.ones(item_count, np.float32)).solve(np.array([0]))
    assert list(range(1, NEIGHBOR_LIMIT + 1)) == columns.columns.tolist()


def test_item_without_pairs_has_an_empty_column() -> None:
    """An item that pairs with nothing has an empty row, between those of the others."""
    histories = build_histories([[0, 1]] * 3 + [[2]], 3)
    item_likes = ItemLikes(histories)
    pairs = PairCounter(item_likes, 3).count(0, 3)
    columns = RidgeSolver(pairs.cooccurrence, item_likes.totals).solve(np.array([0, 2, 1]))
    assert [0, 1, 1, 2] == columns.offsets.tolist()


def test_pairs_that_are_not_stored_hardly_change_a_solution() -> None:
    """Where people like many items alike, columns are close to those of all pairs of the catalog.

    An item pairs with all 400 others, of which only the strongest pairs are stored.
    """
    item_count, tastes = 401, 4
    rng = np.random.default_rng(1)
    is_own = np.arange(item_count) % tastes == np.arange(tastes)[:, None]
    shares = np.where(is_own, 3.0, 1.0)
    shares /= shares.sum(axis=1, keepdims=True)
    lists = [
        rng.choice(item_count, 80, replace=False, p=shares[person % tastes]).tolist()
        for person in range(400)
    ]
    histories = build_histories(lists, item_count)
    item_likes = ItemLikes(histories)
    pairs = PairCounter(item_likes, 3).count(0, item_count).cooccurrence
    assert {PAIR_LIMIT} == set(np.diff(pairs.offsets).tolist())
    near = sum_pairs(histories, 3)[0] + np.diag(item_likes.totals.astype(float) + float(RIDGE))
    items = np.arange(0, item_count, 40)
    columns = RidgeSolver(pairs, item_likes.totals).solve(items)
    for row, item in enumerate(items):
        neighbors, weights = columns.get_row(row)
        complete = np.linalg.solve(near[np.ix_(neighbors, neighbors)], near[item, neighbors])
        error = np.linalg.norm(weights - complete) / np.linalg.norm(complete)
        assert error < 0.3
