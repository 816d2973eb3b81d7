from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.behavior_models import build_model_arrays
from support.item_lists import SUMMARY, build_histories, draw_lists

from service.recommend.behavior_model import BehaviorModel
from service.recommend.collaborative.histories import Histories
from service.recommend.collaborative.model_arrays import (
    model_from_arrays,
    model_to_arrays,
    state_from_arrays,
    state_to_arrays,
)
from service.recommend.collaborative.model_training import train

Arrays = Mapping[str, NDArray[Any]]
LISTS = [[f"i{number}" for number in row] for row in draw_lists(3, 60, 30)]


@pytest.mark.parametrize(
    "histories", [build_histories(draw_lists(1, 50, 20), 20), build_histories([], 0)]
)
def test_models_and_states_come_back(histories: Histories) -> None:
    """A model and a state are the same after they were arrays, also those of no likes."""
    training = train(histories)
    for arrays, restored in (
        (
            model_to_arrays(training.model),
            model_to_arrays(model_from_arrays(model_to_arrays(training.model))),
        ),
        (
            state_to_arrays(training.state),
            state_to_arrays(state_from_arrays(state_to_arrays(training.state))),
        ),
    ):
        assert arrays.keys() == restored.keys()
        for name, array in arrays.items():
            assert array is restored[name]


def test_a_missing_array_is_refused() -> None:
    """Each array of a model is required."""
    arrays = build_model_arrays(LISTS)
    BehaviorModel(SUMMARY, arrays)
    for name in arrays:
        with pytest.raises(KeyError):
            BehaviorModel(SUMMARY, {other: arrays[other] for other in arrays if other != name})


@pytest.mark.parametrize("cut", [lambda array: array[:-1], lambda array: array[:0]])
def test_a_cut_array_is_refused(cut: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """No array can be shorter than the others say."""
    arrays = build_model_arrays(LISTS)
    for name in arrays:
        with pytest.raises(ValueError, match="must"):
            BehaviorModel(SUMMARY, {**arrays, name: cut(arrays[name])})


@pytest.mark.parametrize("name", ["ridge_columns", "following_columns", "popular_items"])
@pytest.mark.parametrize("number", [-1, 30, 1 << 24])
def test_numbers_of_no_item_are_refused(name: str, number: int) -> None:
    """A model that would score an item that it has no id of is refused."""
    arrays = build_model_arrays(LISTS)
    numbers = arrays[name].copy()
    numbers[1] = number
    with pytest.raises(ValueError, match="must"):
        BehaviorModel(SUMMARY, {**arrays, name: numbers})


def test_a_damaged_state_is_refused() -> None:
    """A state with a cut or missing array is not used."""
    arrays = state_to_arrays(train(build_histories(draw_lists(1, 50, 20), 20)).state)
    for name, array in arrays.items():
        with pytest.raises((ValueError, KeyError)):
            state_from_arrays({other: arrays[other] for other in arrays if other != name})
        with pytest.raises(ValueError, match="must"):
            state_from_arrays({**arrays, name: array[:-1]})
    offsets = arrays["columns_offsets"].copy()
    offsets[3] = offsets[5] + 1
    with pytest.raises(ValueError, match="decrease"):
        state_from_arrays({**arrays, "columns_offsets": np.asarray(offsets)})
