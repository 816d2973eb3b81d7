import numpy as np
import pytest
from support.item_lists import to_dense

from service.recommend.collaborative.row_changes import measure_changes
from service.recommend.collaborative.sparse_rows import (
    PACKED_ROWS,
    SparseRows,
    build_rows,
    cut_rows,
    join_rows,
    replace_rows,
    take_rows,
    transpose_strongest,
)


def draw_rows(seed: int, row_count: int, column_count: int) -> SparseRows:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(row_count):
        size = int(rng.integers(0, min(column_count, 30)))
        columns = rng.choice(column_count, size, replace=False)
        rows.append((columns, rng.normal(size=size).astype(np.float32)))
    return build_rows(rows)


def test_rows_are_taken_cut_joined_and_replaced() -> None:
    """Taking, cutting, joining and replacing rows gives the same rows as the dense matrix."""
    rows, others = draw_rows(1, 20, 50), draw_rows(2, 3, 50)
    dense, numbers = to_dense(rows, 50), np.array([7, 0, 19])
    np.testing.assert_array_equal(dense[numbers], to_dense(take_rows(rows, numbers), 50))
    joined = to_dense(join_rows([rows, others]), 50)
    np.testing.assert_array_equal(np.vstack([dense, to_dense(others, 50)]), joined)
    replaced = to_dense(replace_rows(rows, numbers, others), 50)
    dense[numbers] = to_dense(others, 50)
    np.testing.assert_array_equal(dense, replaced)
    cut = cut_rows(rows, 4)
    for row in range(20):
        np.testing.assert_array_equal(rows.get_row(row)[0][:4], cut.get_row(row)[0])


def test_transposed_matrix_is_equal() -> None:
    """Without a cut, the transposed matrix has the same weights to 16 significant bits."""
    rows = draw_rows(3, 40, 60)
    transposed = to_dense(transpose_strongest(rows, 60, limit=100), 40)
    np.testing.assert_allclose(to_dense(rows, 60).T, transposed, rtol=2**-15)


def test_transposed_rows_hold_the_largest_weights_first() -> None:
    """A row that is cut has the largest absolute weights of its column in falling order."""
    rows = draw_rows(4, 200, 9)
    transposed = transpose_strongest(rows, 9, limit=10)
    for column in range(9):
        weights = np.abs(transposed.get_row(column)[1])
        largest = np.sort(np.abs(to_dense(rows, 9)[:, column]))[::-1][:10]
        np.testing.assert_allclose(largest, weights, rtol=2**-15)


def test_more_columns_than_fit_into_one_key_are_transposed() -> None:
    """Columns beyond 16 bits arrive in their own rows."""
    columns = np.array([0, PACKED_ROWS - 1, PACKED_ROWS, 2 * PACKED_ROWS + 5])
    rows = build_rows([(columns, np.array([1, -2, 3, -4], np.float32))] * 2)
    transposed = transpose_strongest(rows, 2 * PACKED_ROWS + 6, limit=5)
    assert 2 * PACKED_ROWS + 6 == transposed.row_count
    for column, weight in zip(columns, [1, -2, 3, -4], strict=True):
        sources, weights = transposed.get_row(column)
        assert ([0, 1], [weight, weight]) == (sources.tolist(), weights.tolist())


def test_rounded_weights_differ_by_a_two_thousandth() -> None:
    """Weights in float16 differ by at most 1/2,048 of their value, or 2^-25 if they are tiny."""
    rows = draw_rows(5, 30, 30)
    rounded = rows.round_weights()
    weights = rounded.weights.astype(np.float32)
    np.testing.assert_allclose(rows.weights, weights, rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize(
    ("former", "row", "change"),
    [
        ({1: 2, 3: 2}, {3: 2, 1: 2}, 0),
        ({1: 2}, {1: 4}, 0.5),
        ({1: 3, 2: 1}, {1: 3, 5: 1}, 0.5),
        ({}, {4: 1}, 1),
        ({4: 1}, {}, 1),
        ({}, {}, 0),
    ],
)
def test_change_is_a_share_of_the_weights(
    former: dict[int, float], row: dict[int, float], change: float
) -> None:
    """A row changes by the differences over the larger sum, in whatever order its entries are."""
    before, after = (
        build_rows([(np.array([*r], np.int64), np.array([*r.values()], np.float32))] * 2)
        for r in (former, row)
    )
    assert [change, change] == measure_changes(before, after).tolist()
