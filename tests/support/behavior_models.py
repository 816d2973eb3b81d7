"""Models of small lists, as trainings make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.recommend.behavior_model import BehaviorModel
from service.recommend.collaborative.item_ids import to_arrays
from service.recommend.collaborative.model_arrays import model_to_arrays
from service.recommend.collaborative.model_training import train
from service.recommend.collaborative.popularity import sum_up_interactions
from support.item_lists import SUMMARY, build_histories


def build_model_arrays(lists: Sequence[Sequence[str]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a model of what people like, whose likes are all a day old."""
    item_ids = sorted({item_id for likes in lists for item_id in likes})
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    rows = [[numbers[item_id] for item_id in likes] for likes in lists]
    people = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    items = np.array([number for row in rows for number in row], np.int32)
    training = train(build_histories(rows, len(item_ids)))
    weights = np.ones(len(items), np.float32)
    return {
        **to_arrays(item_ids),
        **model_to_arrays(training.model),
        **sum_up_interactions(people, items, weights, np.ones(len(items))),
    }


def build_model(lists: Sequence[Sequence[str]]) -> BehaviorModel:
    """Return the model of what people like."""
    return BehaviorModel(SUMMARY, build_model_arrays(lists))
