"""Models and states of trainings as arrays by name, as they are stored."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from service.domain.behavior import Arrays
from service.recommend.collaborative.model_training import CollaborativeModel, TrainingState
from service.recommend.collaborative.sparse_rows import SparseRows


def model_to_arrays(model: CollaborativeModel) -> dict[str, NDArray[Any]]:
    """Return the arrays of a model."""
    return {
        **_rows_to_arrays("ridge", model.ridge),
        **_rows_to_arrays("following", model.following),
        "totals": model.totals,
    }


def model_from_arrays(arrays: Arrays) -> CollaborativeModel:
    """Return the model of these arrays.

    Raises:
        KeyError: an array is missing.
    """
    return CollaborativeModel(
        _rows_from_arrays("ridge", arrays), _rows_from_arrays("following", arrays), arrays["totals"]
    )


def state_to_arrays(state: TrainingState) -> dict[str, NDArray[Any]]:
    """Return the arrays of a state."""
    return {
        **_rows_to_arrays("columns", state.columns),
        "pair_weights": state.pair_weights,
        "neighbor_totals": state.neighbor_totals,
    }


def state_from_arrays(arrays: Arrays) -> TrainingState:
    """Return the state of these arrays.

    Raises:
        KeyError: an array is missing.
    """
    return TrainingState(
        _rows_from_arrays("columns", arrays), arrays["pair_weights"], arrays["neighbor_totals"]
    )


def _rows_to_arrays(name: str, rows: SparseRows) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_offsets": rows.offsets,
        f"{name}_columns": rows.columns,
        f"{name}_weights": rows.weights,
    }


def _rows_from_arrays(name: str, arrays: Arrays) -> SparseRows:
    return SparseRows(
        arrays[f"{name}_offsets"], arrays[f"{name}_columns"], arrays[f"{name}_weights"]
    )
