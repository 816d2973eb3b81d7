import numpy as np
from support.item_lists import build_histories, draw_lists, to_dense

from service.recommend.collaborative.model_training import CollaborativeModel, train
from service.recommend.collaborative.profile_scores import (
    MAX_NEXT_LIKES,
    MAX_PROFILE_LIKES,
    ItemScores,
    LikeProfile,
    build_profile,
    explain_score,
    score_profile,
)


def train_model(item_count: int = 60) -> CollaborativeModel:
    return train(build_histories(draw_lists(1, 400, item_count), item_count)).model


def draw_profile(size: int, item_count: int) -> LikeProfile:
    rng = np.random.default_rng(size)
    items = rng.permutation(item_count).astype(np.int32)[:size]
    return build_profile(items, rng.choice([0.25, 0.5, 1.0], size).astype(np.float32))


def like(*items: int) -> LikeProfile:
    return build_profile(np.array(items, np.int32), np.ones(len(items), np.float32))


def test_scores_equal_the_dense_product() -> None:
    """The scores are the weights of the likes times the matrices, for both models."""
    model, profile = train_model(), draw_profile(9, 60)
    scores = score_profile(model, profile)
    for part, rows, weights in [
        (scores.ridge, model.ridge, profile.ridge_weights),
        (scores.following, model.following, profile.next_weights),
    ]:
        dense = np.zeros(60)
        dense[part.items] = part.scores
        expected = weights @ to_dense(rows, 60)[profile.items]
        np.testing.assert_allclose(expected, dense, rtol=1e-5, atol=1e-7)
        assert (np.diff(part.items) > 0).all()


def test_profile_fades() -> None:
    """The oldest like weighs a quarter for ridge; for what comes next, ten likes halve it."""
    np.testing.assert_allclose([0.25, 0.5, 1], like(7, 8, 9).ridge_weights)
    np.testing.assert_allclose([1], like(7).ridge_weights)
    np.testing.assert_allclose([0.25, 0.5, 1], like(*range(21)).next_weights[[0, 10, 20]])


def test_weights_count_relative_to_the_largest() -> None:
    """A view counts half of a purchase of twice its weight, and alone as much as a purchase."""
    items = np.array([3, 4], np.int32)
    profile = build_profile(items, np.array([2, 1], np.float32))
    np.testing.assert_allclose([0.25, 0.5], profile.ridge_weights)
    profile = build_profile(items, np.array([0.1, 0.1], np.float32))
    np.testing.assert_allclose([0.25, 1], profile.ridge_weights)


def test_long_profile_counts_its_latest_likes() -> None:
    """Only the latest MAX_PROFILE_LIKES count, and MAX_NEXT_LIKES for what comes next."""
    profile = like(*range(MAX_PROFILE_LIKES + 50))
    assert list(range(50, MAX_PROFILE_LIKES + 50)) == profile.items.tolist()
    assert MAX_NEXT_LIKES == np.count_nonzero(profile.next_weights)
    assert (profile.next_weights[-MAX_NEXT_LIKES:] > 0).all()


def test_profile_without_items_of_the_model_scores_nothing() -> None:
    """No likes, and likes of items that are newer than the model, score no item."""
    for profile in (like(), like(60, 99)):
        scores = score_profile(train_model(), profile)
        assert 0 == len(scores.list_items())
        assert [0, 0] == scores.ridge.standardize(np.array([1, 2], np.int32)).tolist()


def test_explanation_adds_up_to_the_score() -> None:
    """What the items of a profile add to the score of an item sums up to it, in both models."""
    model, profile = train_model(), draw_profile(12, 60)
    scores = score_profile(model, profile)
    for item, score in zip(scores.ridge.items, scores.ridge.scores, strict=True):
        parts = explain_score(model, profile, int(item)).ridge
        assert set(parts.items.tolist()) <= set(profile.items.tolist())
        np.testing.assert_allclose(score, parts.scores.sum(), rtol=1e-4, atol=1e-6)
    last = int(scores.following.items[-1])
    parts = explain_score(model, profile, last).following
    np.testing.assert_allclose(scores.following.scores[-1], parts.scores.sum(), rtol=1e-4)
    assert 0 == len(explain_score(model, like(60), 5).ridge.items)


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
