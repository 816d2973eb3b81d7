import numpy as np
import pytest
from support.item_lists import build_histories, draw_lists, to_dense

from service.recommend.collaborative.histories import Histories
from service.recommend.collaborative.model_training import (
    CHANGE_TOLERANCE,
    ROW_LIMIT,
    CollaborativeModel,
    train,
)
from service.recommend.collaborative.profile_scores import build_profile, score_profile

ITEM_COUNT = 120


def assert_equal_models(expected: CollaborativeModel, model: CollaborativeModel) -> None:
    for name in ("ridge", "following"):
        first, second = getattr(expected, name), getattr(model, name)
        np.testing.assert_array_equal(first.offsets, second.offsets)
        np.testing.assert_array_equal(to_dense(first, ITEM_COUNT), to_dense(second, ITEM_COUNT))


def list_top(model: CollaborativeModel, likes: list[int], count: int = 20) -> list[int]:
    """Return the best items by both models for a person who likes these."""
    scores = score_profile(
        model, build_profile(np.array(likes, np.int32), np.ones(len(likes), np.float32))
    )
    items = np.setdiff1d(scores.list_items(), likes)
    sums = scores.ridge.standardize(items) + 0.4 * scores.following.standardize(items)
    top = items[np.argsort(-sums, kind="stable")][:count]
    return [int(item) for item in top]


def build_clusters(people: int = 300, item_count: int = ITEM_COUNT) -> Histories:
    return build_histories(draw_lists(1, people, 120, clusters=4), item_count)


def test_items_of_the_same_taste_come_first() -> None:
    """A person gets items that people of the same taste like."""
    model = train(build_clusters()).model
    for cluster in range(4):
        top = list_top(model, [30 * cluster + 3, 30 * cluster + 7])
        assert {cluster} == {item // 30 for item in top}


def test_pair_of_two_people_does_not_count() -> None:
    """Two people's lists leave no trace in the model; the third person makes the pair count."""
    for people in (2, 3):
        model = train(build_histories([[0, 1, 2]] * people, 3)).model
        assert (6 if people == 3 else 0) == len(model.ridge.columns)
        assert (3 if people == 3 else 0) == len(model.following.columns)


def test_dislike_makes_no_pair() -> None:
    """Items that people dislike are recommended for nothing and speak for nothing."""
    lists, weights = [[0, 1, 2]] * 5, [[1, -1, 1]] * 5
    model = train(build_histories(lists, 3, weights)).model
    assert {0, 2} == set(model.ridge.columns.tolist())
    assert [5, 0, 5] == model.totals.tolist()


def test_weights_of_a_person_count_relative_to_their_largest() -> None:
    """A thousand times the weight gives the same model: nobody counts more than anybody else."""
    lists = draw_lists(4, 50, 20)
    weights = [[1000.0 * (person % 7 + 1)] * len(items) for person, items in enumerate(lists)]
    loud = train(build_histories(lists, ITEM_COUNT, weights)).model
    assert_equal_models(train(build_histories(lists, ITEM_COUNT)).model, loud)


def test_fake_likes_of_one_user_promote_nothing() -> None:
    """A hundred fake likes that pair an unknown item with popular ones put it into no top 20."""
    lists = draw_lists(6, 200, ITEM_COUNT - 1)
    popular = np.argsort(-np.bincount(np.concatenate(lists), minlength=ITEM_COUNT))[:99].tolist()
    target = ITEM_COUNT - 1
    fake = [*popular[:50], target, *popular[50:]]
    model = train(build_histories([*lists, fake], ITEM_COUNT)).model
    assert not any(target in list_top(model, likes) for likes in lists)
    # Three users of the same kind do promote it: the floor is what protects.
    model = train(build_histories([*lists, fake, fake, fake], ITEM_COUNT)).model
    assert any(target in list_top(model, likes) for likes in lists)


def test_rows_are_short() -> None:
    """However many items an item pairs with, it speaks for at most ROW_LIMIT."""
    item_count = 2 * ROW_LIMIT
    model = train(build_histories(draw_lists(7, 1_000, item_count, 60), item_count)).model
    for rows in (model.ridge, model.following):
        assert ROW_LIMIT == np.diff(rows.offsets).max()
        assert np.float16 == rows.weights.dtype


def test_nothing_gives_an_empty_model() -> None:
    """No items, no people and no likes are no error."""
    cases: list[tuple[list[list[int]], int]] = [([], 0), ([], 5), ([[], []], 5), ([[3]] * 3, 5)]
    for lists, item_count in cases:
        training = train(build_histories(lists, item_count))
        assert item_count == training.model.ridge.row_count == training.model.following.row_count
        assert 0 == len(training.model.ridge.columns) == training.solved_count


@pytest.mark.parametrize("tolerance", [0.0, CHANGE_TOLERANCE])
def test_same_histories_solve_nothing(tolerance: float) -> None:
    """Training on the same histories again solves no item and gives the same model."""
    first = train(build_clusters())
    second = train(build_clusters(), first.state, tolerance=tolerance)
    assert 0 == second.solved_count
    assert_equal_models(first.model, second.model)


def test_change_in_one_taste_solves_its_items_only() -> None:
    """New likes in one cluster solve items of that cluster, and the model is as if from nothing."""
    lists = draw_lists(1, 300, ITEM_COUNT, clusters=4)
    state = train(build_histories(lists, ITEM_COUNT)).state
    lists += [[0, 1, 2, 3, 4, 5]] * 5
    after = build_histories(lists, ITEM_COUNT)
    updated, fresh = train(after, state, tolerance=0.0), train(after)
    assert 0 < updated.solved_count <= 30
    assert_equal_models(fresh.model, updated.model)


def test_deleted_people_leave_the_model() -> None:
    """After a person is deleted, an update without tolerance is as if they had never been there."""
    lists = draw_lists(1, 300, ITEM_COUNT, clusters=4)
    state = train(build_histories(lists, ITEM_COUNT)).state
    after = build_histories(lists[1:-3], ITEM_COUNT)
    updated = train(after, state, tolerance=0.0)
    assert_equal_models(train(after).model, updated.model)


def test_named_items_are_solved_despite_the_tolerance() -> None:
    """Items of deleted interactions are solved whatever the tolerance; others within it are not."""
    lists = draw_lists(1, 300, ITEM_COUNT, clusters=4)
    state = train(build_histories(lists, ITEM_COUNT)).state
    after = build_histories(lists[1:], ITEM_COUNT)
    named = np.array(sorted(lists[0]), np.int32)
    updated = train(after, state, changed_items=named, tolerance=1.0)
    assert len(named) == updated.solved_count
    fresh = train(after).state
    for item in named.tolist():
        for expected, actual in zip(
            fresh.columns.get_row(item), updated.state.columns.get_row(item), strict=True
        ):
            np.testing.assert_array_equal(expected, actual)


def test_new_items_extend_the_former_state() -> None:
    """Items that were added since are solved with the others."""
    lists = draw_lists(1, 300, 90, clusters=3)
    state = train(build_histories(lists, 90)).state
    after = build_histories([*lists, *[[90, 95, 119]] * 6], ITEM_COUNT)
    updated = train(after, state, tolerance=0.0)
    assert 3 == updated.solved_count
    assert_equal_models(train(after).model, updated.model)


def test_small_changes_stay_within_the_tolerance() -> None:
    """One more person changes scores little, and most items are not solved again."""
    lists = draw_lists(1, 4_000, ITEM_COUNT, clusters=4)
    first = train(build_histories(lists, ITEM_COUNT))
    after = build_histories([*lists, [0, 5, 9]], ITEM_COUNT)
    updated, fresh = train(after, first.state), train(after)
    assert updated.solved_count < fresh.solved_count / 4
    difference = to_dense(fresh.model.ridge, ITEM_COUNT) - to_dense(updated.model.ridge, ITEM_COUNT)
    largest = np.abs(to_dense(fresh.model.ridge, ITEM_COUNT)).max()
    assert np.abs(difference).max() < CHANGE_TOLERANCE * largest
