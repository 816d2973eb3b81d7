"""Chooses the weights of behavior and text by predicting likes that were left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.behavior import TEXT_ONLY, Blend, BlendWeights
from service.recommend.collaborative.histories import Floats, Histories, Items, to_offsets
from service.recommend.collaborative.model_training import CollaborativeModel
from service.recommend.collaborative.profile_scores import build_profile, score_profile

# The people whose latest likes are predicted.
MAX_PEOPLE = 400
MIN_TEST_PEOPLE = 20

# The share of a person's likes that is left out, the latest ones, and the likes that it takes.
HIDDEN_SHARE = 0.2
MIN_LIKES = 5

# The places that count.
TOP_COUNT = 20

# Weights are chosen on four fifths of the people and measured on the other fifth, in turns, because
# the best of many weights gains by chance on the people that it was chosen on.
FOLD_COUNT = 5

# Two-sided: the true gain is below the bound in 2.5% of all cases.
NORMAL_QUANTILE = 1.96

Qualities = NDArray[np.float64]

# Receives the visible likes of a person, oldest first, and items. Returns z-scores by text over the
# catalog: the items that it received and the best by text, each once, with their scores.
TextScores = Callable[[Items, Items], tuple[Items, Floats]]


# The first choice. Another one must be better by more than its standard error: on the film likes
# none is, and on the music likes, whose order says nothing, following = 0 and text = 2.6.
DEFAULT_BLEND = BlendWeights(1.0, 0.4, 1.3)

CHOICES = [
    DEFAULT_BLEND,
    *(
        BlendWeights(1.0, following, text)
        for following in (0.0, 0.2, 0.4, 0.8)
        for text in (0.0, 0.65, 1.3, 2.6)
        if (following, text) != (DEFAULT_BLEND.following, DEFAULT_BLEND.text)
    ),
]


@dataclass(frozen=True, slots=True)
class HiddenLikes:
    """Histories without the latest likes of a sample of people.

    Attributes:
        visible: the histories of all people without these likes.
        people: int64 [sample]: the people in the sample.
        likes: what each of them liked later: int32 arrays.
    """

    visible: Histories
    people: NDArray[np.int64]
    likes: Sequence[Items]


def hide_latest_likes(histories: Histories, max_people: int = MAX_PEOPLE) -> HiddenLikes:
    """Hide the latest fifth of the likes of people who have at least MIN_LIKES.

    The people are spread evenly over the histories.
    """
    counts = np.diff(histories.offsets)
    people = np.repeat(np.arange(len(counts)), counts)
    likes = np.flatnonzero(histories.weights > 0)
    like_offsets = to_offsets(np.bincount(people[likes], minlength=len(counts)))
    candidates = np.flatnonzero(np.diff(like_offsets) >= MIN_LIKES)
    size = min(max_people, len(candidates))
    sample = candidates[np.linspace(0, len(candidates) - 1, size).astype(np.int64)]
    hidden = [
        likes[end - max(int(HIDDEN_SHARE * (end - start)), 1) : end]
        for start, end in zip(like_offsets[sample], like_offsets[sample + 1], strict=True)
    ]
    is_visible = np.ones(len(people), bool)
    is_visible[np.concatenate([np.zeros(0, np.int64), *hidden])] = False
    visible = Histories(
        to_offsets(np.bincount(people[is_visible], minlength=len(counts))),
        histories.items[is_visible],
        histories.weights[is_visible],
        histories.item_count,
    )
    return HiddenLikes(visible, sample, [histories.items[events] for events in hidden])


def choose_blend(hidden: HiddenLikes, model: CollaborativeModel, text: TextScores) -> Blend:
    """Choose the weights with which a model of the visible likes predicts the hidden ones best.

    Args:
        hidden: the sample.
        model: the model of `hidden.visible`.
        text: scores items by text.
    """
    rows = [
        _measure_person(hidden.visible, int(person), likes, model, text)
        for person, likes in zip(hidden.people, hidden.likes, strict=True)
    ]
    qualities = np.array(rows, np.float64).reshape(len(rows), 1 + len(CHOICES))
    text_quality = float(qualities[:, 0].mean()) if rows else 0.0
    if len(rows) < MIN_TEST_PEOPLE:
        return Blend(TEXT_ONLY, len(rows), text_quality, 0.0, 0.0)
    gains = _cross_validate(qualities)
    lower_bound = _bound_mean(gains)
    best = _choose_best(qualities[:, 1:])
    weights = CHOICES[best] if lower_bound > 0 else TEXT_ONLY
    return Blend(weights, len(rows), text_quality, float(gains.mean()), lower_bound)


def _measure_person(
    visible: Histories, person: int, hidden: Items, model: CollaborativeModel, text: TextScores
) -> list[float]:
    """Return nDCG@20 of text alone and of each choice of weights."""
    history, weights = visible.get_items(person), visible.get_weights(person)
    profile = build_profile(history[weights > 0], weights[weights > 0])
    behavior = score_profile(model, profile)
    items, text_scores = text(profile.items, behavior.list_items())
    is_new = ~np.isin(items, history)
    items, text_scores = items[is_new], text_scores[is_new]
    ridge, following = behavior.ridge.standardize(items), behavior.following.standardize(items)
    is_hit = np.isin(items, hidden)
    return [
        _compute_ndcg(
            ridge * choice.ridge + following * choice.following + text_scores * choice.text,
            is_hit,
            len(hidden),
        )
        for choice in (TEXT_ONLY, *CHOICES)
    ]


def _compute_ndcg(scores: Floats, is_hit: NDArray[np.bool_], hidden_count: int) -> float:
    """Return the nDCG of the best TOP_COUNT scores."""
    count = min(TOP_COUNT, len(scores))
    top = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
    top = top[np.argsort(-scores[top], kind="stable")]
    discounts = 1 / np.log2(np.arange(TOP_COUNT) + 2)
    return float(discounts[:count][is_hit[top]].sum() / discounts[:hidden_count].sum())


def _choose_best(qualities: Qualities) -> int:
    """Return the best choice, which is the first unless another one is clearly better."""
    best = int(qualities.mean(axis=0).argmax())
    differences = qualities[:, best] - qualities[:, 0]
    return best if differences.mean() > _compute_standard_error(differences) else 0


def _cross_validate(qualities: Qualities) -> NDArray[np.float64]:
    """Return the gain of each person over text by the choice that suits the other people."""
    folds = np.arange(len(qualities)) % FOLD_COUNT
    gains = np.zeros(len(qualities))
    for fold in range(FOLD_COUNT):
        best = _choose_best(qualities[folds != fold, 1:])
        is_tested = folds == fold
        gains[is_tested] = qualities[is_tested, 1 + best] - qualities[is_tested, 0]
    return gains


def _bound_mean(values: NDArray[np.float64]) -> float:
    """Return the lower end of the 95% t interval of the mean."""
    freedom = len(values) - 1
    # The expansion of Student's quantile in 1/freedom is exact to 0.001 from 15 degrees on.
    z = NORMAL_QUANTILE
    quantile = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return float(values.mean()) - quantile * _compute_standard_error(values)


def _compute_standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) / float(np.sqrt(len(values)))
