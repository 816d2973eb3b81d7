"""Models and states of trainings as arrays by name, as they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
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
        ValueError: the arrays do not belong together.
    """
    totals = arrays["totals"]
    return CollaborativeModel(
        _rows_from_arrays("ridge", arrays, len(totals)),
        _rows_from_arrays("following", arrays, len(totals)),
        totals,
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
        ValueError: the arrays do not belong together.
    """
    pair_weights, neighbor_totals = arrays["pair_weights"], arrays["neighbor_totals"]
    columns = _rows_from_arrays("columns", arrays, len(neighbor_totals))
    if len(pair_weights) != len(columns.weights):
        raise ValueError("a state must have a pair for each weight")
    return TrainingState(columns, pair_weights, neighbor_totals)


def _rows_to_arrays(name: str, rows: SparseRows) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_offsets": rows.offsets,
        f"{name}_columns": rows.columns,
        f"{name}_weights": rows.weights,
    }


def _rows_from_arrays(name: str, arrays: Arrays, row_count: int) -> SparseRows:
    """Return a matrix with as many rows as columns.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not belong together.
    """
    rows = SparseRows(
        arrays[f"{name}_offsets"], arrays[f"{name}_columns"], arrays[f"{name}_weights"]
    )
    check_offsets(rows.offsets, row_count, len(rows.weights))
    check_range(rows.columns, row_count)
    if len(rows.columns) != len(rows.weights):
        raise ValueError("a matrix must have a column for each weight")
    return rows


def check_offsets(offsets: NDArray[Any], row_count: int, entry_count: int) -> None:
    """Check where rows begin and end.

    Raises:
        ValueError: these are not the offsets of so many rows and entries.
    """
    if len(offsets) != row_count + 1 or offsets[0] != 0 or offsets[-1] != entry_count:
        raise ValueError("offsets must be those of all rows and entries")
    if np.any(np.diff(offsets) < 0):
        raise ValueError("offsets must not decrease")


def check_range(numbers: NDArray[Any], end: int) -> None:
    """Check that numbers are from 0 to below the end.

    Raises:
        ValueError: they are not.
    """
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < end):
        raise ValueError("numbers must be those of items")
