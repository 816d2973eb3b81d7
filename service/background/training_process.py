"""The process that trains a model. It runs at low priority and ends with the server."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from service import errors, files
from service.domain.behavior import Arrays, Blend
from service.domain.recommendation_ids import US_PER_DAY
from service.recommend.collaborative.histories import Floats, Items, collect_histories
from service.recommend.collaborative.item_ids import ItemIds, to_arrays
from service.recommend.collaborative.learning import learn
from service.recommend.collaborative.model_arrays import (
    model_to_arrays,
    state_from_arrays,
    state_to_arrays,
)
from service.recommend.collaborative.model_training import TrainingState
from service.recommend.collaborative.popularity import sum_up_interactions
from service.storage.database import ReadSource
from service.storage.training_likes import TrainingLikes, read_training_likes

# Calls come first.
NICENESS = 19

# Exit status after the server has ended.
SERVER_ENDED = 3

# The folders of a training's results, in which each array has a file.
MODEL_FOLDER = "model"
STATE_FOLDER = "state"


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What to train.

    Attributes:
        source: opens the database.
        catalog_id: the catalog.
        weights: of the types of interactions.
        train_time_us: the present time, in microseconds since 1970 UTC.
        state: the folder of the state of the training before, if only what changed is to be solved.
        folder: an empty folder for the results.
    """

    source: ReadSource
    catalog_id: int
    weights: Mapping[str, float]
    train_time_us: int
    state: Path | None
    folder: Path


class ScoreRequest(NamedTuple):
    """Asks for scores by text: what a person liked, oldest first, and the items to score."""

    liked_ids: Sequence[str]
    item_ids: Sequence[str]


class TrainingResult(NamedTuple):
    """What a training found; its arrays are in files."""

    like_count: int
    item_count: int
    blend: Blend


class TrainingError(NamedTuple):
    """Why a training failed: the name of an exception."""

    name: str


def run_training(task: TrainingTask, connection: Connection) -> None:
    """Train, and send the result.

    Until then, each ScoreRequest that is sent is answered by item ids and their z-scores.
    """
    os.nice(NICENESS)
    threading.Thread(target=_end_after_server, daemon=True).start()
    # More threads make the small systems of equations slower. The server closes the connection if
    # it ends or gives the training up.
    with threadpool_limits(1, user_api="blas"), suppress(EOFError, ConnectionError):
        try:
            result: TrainingResult | TrainingError = _train(task, connection)
        except (errors.AkinError, OSError, MemoryError, ValueError) as exc:
            if isinstance(exc, ConnectionError):
                raise
            result = TrainingError(type(exc).__name__)
        connection.send(result)


def _train(task: TrainingTask, connection: Connection) -> TrainingResult:
    state, known_ids = _read_state(task.state)
    likes = read_training_likes(task.source, task.catalog_id, task.weights, known_ids)
    histories = collect_histories(
        likes.people,
        likes.items,
        likes.weights,
        people_count=likes.people_count,
        item_count=_count_rows(likes, state),
    )
    learned = learn(histories, _TextScores(connection, likes.item_ids), state)
    ids = to_arrays(likes.item_ids)
    model, state = learned.training.model, learned.training.state
    ages_days = (task.train_time_us - likes.times_us) / US_PER_DAY
    # Liked items have weights of their own, by which one user could make an item popular alone.
    weights = np.minimum(likes.weights, np.float32(max(task.weights.values())))
    popularity = sum_up_interactions(likes.people, likes.items, weights, ages_days)
    write_arrays(task.folder / MODEL_FOLDER, {**ids, **model_to_arrays(model), **popularity})
    write_arrays(task.folder / STATE_FOLDER, {**ids, **state_to_arrays(state)})
    item_count = int(np.count_nonzero(np.diff(model.ridge.offsets)))
    return TrainingResult(int(np.count_nonzero(histories.weights > 0)), item_count, learned.blend)


def _read_state(folder: Path | None) -> tuple[TrainingState | None, Sequence[str]]:
    """Return the state of the training before and its item ids, if they can be read.

    A power loss can damage the state, without which everything is solved again.
    """
    if folder is None:
        return None, ()
    try:
        arrays = read_arrays(folder)
        return state_from_arrays(arrays), ItemIds(arrays).list_all()
    except (OSError, EOFError, ValueError, KeyError):
        return None, ()


def _count_rows(likes: TrainingLikes, state: TrainingState | None) -> int:
    """Return the number of rows of a model: one for each item, also those without likes."""
    former_count = 0 if state is None else state.columns.row_count
    return max(len(likes.item_ids), likes.catalog_item_count, former_count)


class _TextScores:
    """Scores items by text, by asking the server.

    Args:
        connection: leads to the server.
        item_ids: the ids of the items by number. Other items that the server returns get further
            numbers.
    """

    def __init__(self, connection: Connection, item_ids: Sequence[str]) -> None:
        self._connection = connection
        self._ids = list(item_ids)
        self._numbers = {item_id: number for number, item_id in enumerate(item_ids)}

    def __call__(self, likes: Items, items: Items) -> tuple[Items, Floats]:
        """Return the numbers and the z-scores of items and of the best items by text."""
        self._connection.send(ScoreRequest(self._list_ids(likes), self._list_ids(items)))
        item_ids, scores = self._connection.recv()
        numbers = [self._numbers.setdefault(item_id, len(self._numbers)) for item_id in item_ids]
        return np.array(numbers, np.int32), scores

    def _list_ids(self, items: Items) -> list[str]:
        return [self._ids[number] for number in items.tolist()]


def write_arrays(folder: Path, arrays: Arrays) -> None:
    """Write arrays to a new private folder, each to a file of its name.

    Raises:
        OSError: the disk is full or fails.
    """
    files.create_folder(folder)
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        files.create_file(path)
        np.save(path, array)


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a folder; what is not used is not read.

    Raises:
        OSError, EOFError, ValueError: a file cannot be read.
    """
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}


def _end_after_server() -> None:
    server = parent_process()
    if server is not None:
        server.join()
        os._exit(SERVER_ENDED)
