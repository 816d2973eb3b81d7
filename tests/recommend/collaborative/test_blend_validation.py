import numpy as np
import pytest
from support.item_lists import build_histories, draw_lists

from service.domain.behavior import TEXT_ONLY, Blend
from service.recommend.collaborative.blend_validation import (
    DEFAULT_BLEND,
    MIN_TEST_PEOPLE,
    TextScores,
    choose_blend,
    hide_latest_likes,
)
from service.recommend.collaborative.histories import Floats, Histories, Items
from service.recommend.collaborative.learning import learn
from service.recommend.collaborative.model_training import train

ITEM_COUNT = 300


class NoText:
    """Scores of texts that say nothing about taste."""

    def __call__(self, likes: Items, items: Items) -> tuple[Items, Floats]:
        """Return a random score of each item."""
        scores = np.random.default_rng(int(likes.sum())).normal(size=ITEM_COUNT)
        return np.arange(ITEM_COUNT, dtype=np.int32), scores.astype(np.float32)


class ClusterText:
    """Scores of texts that name the cluster of the person's likes, one of `count`."""

    def __init__(self, count: int) -> None:
        self._size = ITEM_COUNT // count

    def __call__(self, likes: Items, items: Items) -> tuple[Items, Floats]:
        """Return one score for the items of the likes' clusters, and another one for the others."""
        everything = np.arange(ITEM_COUNT, dtype=np.int32)
        is_near = np.isin(everything // self._size, likes // self._size)
        return everything, ((is_near - is_near.mean()) / is_near.std()).astype(np.float32)


def choose(histories: Histories, text: TextScores) -> Blend:
    hidden = hide_latest_likes(histories)
    return choose_blend(hidden, train(hidden.visible).model, text)


def draw_taste(people: int, seed: int = 1) -> Histories:
    """Return histories of people who each like items of one of ten clusters."""
    return build_histories(draw_lists(seed, people, ITEM_COUNT, 20, clusters=10), ITEM_COUNT)


def test_latest_fifth_of_the_likes_is_hidden() -> None:
    """The newest fifth of at least five likes is hidden; dislikes and short lists stay."""
    lists = [[1, 2, 3, 4, 5, 6], list(range(10, 22)), [7, 8, 9]]
    weights = [[1, 1, 1, 1, 1, -1], [1] * 12, [1] * 3]
    hidden = hide_latest_likes(build_histories(lists, 30, weights))
    assert [0, 1] == hidden.people.tolist()
    assert [[5], [20, 21]] == [likes.tolist() for likes in hidden.likes]
    visible = [hidden.visible.get_items(person).tolist() for person in range(3)]
    assert [[1, 2, 3, 4, 6], list(range(10, 20)), [7, 8, 9]] == visible


def test_sample_is_spread_over_all_people() -> None:
    """A sample has the size that was asked for, from the first person to the last."""
    hidden = hide_latest_likes(build_histories([[1, 2, 3, 4, 5]] * 100, 6), max_people=12)
    assert (0, 99, 12) == (hidden.people[0], hidden.people[-1], len(np.unique(hidden.people)))


def test_behavior_counts_where_people_share_tastes() -> None:
    """Where texts say nothing and people share tastes, behavior gains beyond chance."""
    blend = choose(draw_taste(200), NoText())
    assert 1.0 == blend.weights.ridge
    assert blend.gain > blend.lower_bound > 0


@pytest.mark.parametrize("people", [0, 5, MIN_TEST_PEOPLE - 1])
def test_few_people_leave_text_alone(people: int) -> None:
    """With fewer than MIN_TEST_PEOPLE, text ranks alone, however well behavior would do."""
    histories = build_histories([[1, 2, 3, 4, 5, 6, 7]] * people, ITEM_COUNT)
    blend = choose(histories, NoText())
    assert (TEXT_ONLY, people) == (blend.weights, blend.people_count)


def test_random_likes_leave_text_alone() -> None:
    """Where likes are random, text ranks alone, except in the 2.5% of cases that chance allows."""
    choices = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        lists = [rng.choice(ITEM_COUNT, 20, replace=False).tolist() for _ in range(30 + seed)]
        choices.append(choose(build_histories(lists, ITEM_COUNT), NoText()).weights)
    # By chance, five of 40 happen in one of 300 runs.
    assert choices.count(TEXT_ONLY) >= 36


def test_behavior_does_not_count_beside_perfect_texts() -> None:
    """Where texts say all that there is to know, behavior gains nothing, and text ranks alone."""
    assert choose(draw_taste(60), ClusterText(10)).weights == TEXT_ONLY


def test_text_counts_more_where_it_says_more() -> None:
    """Where behavior and texts each say a part, the chosen weights use both."""
    rng = np.random.default_rng(3)
    lists = []
    for person in range(300):
        # Everybody likes items of one of 15 parts. Texts know only in which third of the catalog
        # the part is, and behavior finds the part.
        start = person % 15 * 20
        lists.append((start + rng.choice(20, 12, replace=False)).tolist())
    blend = choose(build_histories(lists, ITEM_COUNT), ClusterText(3))
    assert blend.weights != TEXT_ONLY
    assert blend.weights.ridge > 0
    assert blend.weights.text > 0


def test_default_weights_stand_without_a_clearly_better_choice() -> None:
    """Where all choices are equal, the default weights are chosen."""
    # Everybody likes the same ten items in the same order, so that each choice with a model finds
    # the last two from the people whose last two are visible.
    hidden = hide_latest_likes(build_histories([list(range(10))] * 100, ITEM_COUNT), max_people=40)
    blend = choose_blend(hidden, train(hidden.visible).model, NoText())
    assert DEFAULT_BLEND == blend.weights


def test_small_catalog_learns_from_hidden_likes_too() -> None:
    """The model that serves has the pairs of all likes, also of those that were left out."""
    histories = draw_taste(200)
    learned = learn(histories, NoText())
    np.testing.assert_array_equal(train(histories).model.totals, learned.training.model.totals)
    assert learned.blend.weights.ridge > 0


def test_large_catalog_serves_the_validated_model() -> None:
    """Where the hidden likes are few, the validated model serves without another training."""
    rng = np.random.default_rng(2)
    lists = [rng.choice(ITEM_COUNT, 4, replace=False).tolist() for _ in range(3_000)]
    lists[:20] = [rng.choice(ITEM_COUNT, 5, replace=False).tolist() for _ in range(20)]
    histories = build_histories(lists, ITEM_COUNT)
    learned = learn(histories, NoText())
    hidden = hide_latest_likes(histories)
    assert 20 == len(hidden.people)
    assert len(histories.items) - 20 == int(learned.training.model.totals.sum())
