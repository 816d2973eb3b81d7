import numpy as np
from support.item_lists import build_histories, draw_lists, to_dense

from service.recommend.collaborative.model_training import CollaborativeModel, train
from service.recommend.collaborative.profile_scores import (
    MAX_NEXT_LIKES,
    MAX_PROFILE_LIKES,
    ItemScores,
    score_profile,
    weigh_by_place,
    weigh_by_recency,
)


def train_model(item_count: int = 60) -> CollaborativeModel:
    return train(build_histories(draw_lists(1, 400, item_count), item_count)).model


def test_scores_equal_the_dense_product() -> None:
    """The scores are the weights of the likes times the matrices, for both models."""
    model = train_model()
    likes = np.array([5, 41, 17, 3], np.int32)
    scores = score_profile(model, likes)
    for part, rows, weights in [
        (scores.ridge, model.ridge, weigh_by_place(4)),
        (scores.following, model.following, weigh_by_recency(4)),
    ]:
        dense = np.zeros(60)
        dense[part.items] = part.scores
        np.testing.assert_allclose(weights @ to_dense(rows, 60)[likes], dense, rtol=1e-5, atol=1e-7)
        assert (np.diff(part.items) > 0).all()


def test_profile_fades() -> None:
    """The oldest like weighs a quarter for ridge; for what comes next, ten likes halve it."""
    np.testing.assert_allclose([0.25, 0.5, 1], weigh_by_place(3))
    np.testing.assert_allclose([1], weigh_by_place(1))
    np.testing.assert_allclose([0.25, 0.5, 1], weigh_by_recency(21)[[0, 10, 20]])


def test_long_profile_counts_its_latest_likes() -> None:
    """Likes before the latest MAX_PROFILE_LIKES change nothing, and MAX_NEXT_LIKES for the next."""
    model = train_model(600)
    likes = np.random.default_rng(3).permutation(600).astype(np.int32)[: MAX_PROFILE_LIKES + 50]
    scores, latest = (score_profile(model, part) for part in (likes, likes[50:]))
    np.testing.assert_array_equal(scores.ridge.scores, latest.ridge.scores)
    recent = score_profile(model, likes[-MAX_NEXT_LIKES:])
    np.testing.assert_array_equal(scores.following.scores, recent.following.scores)


def test_profile_without_items_of_the_model_scores_nothing() -> None:
    """No likes, and likes of items that are newer than the model, score no item."""
    model = train_model()
    for likes in ([], [60, 99]):
        scores = score_profile(model, np.array(likes, np.int32))
        assert 0 == len(scores.list_items())
        assert [0, 0] == scores.ridge.standardize(np.array([1, 2], np.int32)).tolist()


def test_standard_scores_count_the_whole_catalog() -> None:
    """Mean and deviation include the items that score 0."""
    scores = ItemScores(np.array([2, 5], np.int32), np.array([3, 1], np.float32), 8)
    values = np.array([0, 0, 3, 0, 0, 1, 0, 0], float)
    expected = (values - values.mean()) / values.std()
    items = np.array([5, 0, 2, 7], np.int32)
    np.testing.assert_allclose(expected[items], scores.standardize(items), rtol=1e-5)


def test_equal_scores_have_no_standard_scores() -> None:
    """If all items of the catalog score the same, no item stands out."""
    scores = ItemScores(np.arange(3, dtype=np.int32), np.ones(3, np.float32), 3)
    assert [0, 0] == scores.standardize(np.array([0, 2], np.int32)).tolist()
