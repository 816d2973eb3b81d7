"""Trains the models of catalogs when their likes have changed."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from service import errors, files
from service.background.training_folders import remove_former, remove_unused
from service.background.training_process import (
    MODEL_FOLDER,
    STATE_FOLDER,
    ScoreRequest,
    TrainingError,
    TrainingResult,
    TrainingTask,
    read_arrays,
    run_training,
)
from service.background.training_schedule import is_due
from service.catalog.handle import CatalogHandle
from service.catalog.open_catalogs import OpenCatalogs
from service.domain.behavior import TrainingInput, TrainingSummary
from service.domain.catalog_settings import CatalogSettings, SignalMode
from service.storage.behavior_models import BehaviorModelStore, LikeChanges
from service.storage.database import ReadSource

# The interval at which catalogs are looked at.
TRAINING_CHECK_SECONDS = 2.0

# Pause after a training of a catalog, as a multiple of its duration, so that a catalog whose likes
# change all the time does not keep a processor busy.
TRAINING_REST_FACTOR = 3.0

# The shortest pause after a training that failed.
FAILURE_REST_SECONDS = 5.0

_SPAWN = multiprocessing.get_context("spawn")


class TrainingFailed(Exception):
    """The process of a training has ended without a result.

    Args:
        reason: the name of an exception, or why there is none.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _TrainingState(NamedTuple):
    """What decides whether the model of a catalog is out of date, apart from its age."""

    changes: LikeChanges
    train_time_us: int | None
    settings: CatalogSettings
    signals: SignalMode


class Trainer:
    """Trains one model after the other, while `run` runs.

    Args:
        store: where the models are.
        catalogs: the open catalogs.
        source: opens the database in the process of a training.
        folder: keeps the states of trainings; losing it costs time only.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        show_model: is called after each training.
    """

    def __init__(
        self,
        store: BehaviorModelStore,
        catalogs: OpenCatalogs,
        source: ReadSource,
        folder: Path,
        clock_ns: Callable[[], int],
        show_model: Callable[[], None],
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._source = source
        self._folder = folder
        self._clock_ns = clock_ns
        self._show_model = show_model
        self._rest_until: dict[int, float] = {}
        self._train_times_us: Mapping[int, int] | None = None
        self._settled: dict[int, _TrainingState] = {}

    async def run(self) -> None:
        """Train whenever it is due, until cancelled."""
        while True:
            await self._remove_unused()
            changes = await self._read_changes()
            for name in self._catalogs.names():
                await self._try_training(name, changes)
            await asyncio.sleep(TRAINING_CHECK_SECONDS)

    async def _remove_unused(self) -> None:
        """Remove what trainings left that were killed, or whose catalogs were deleted."""
        log = structlog.get_logger()
        try:
            train_times_us = await self._store.read_train_times()
            await asyncio.to_thread(remove_unused, self._folder, train_times_us)
            if train_times_us != self._train_times_us:
                for catalog_id in await self._store.list_outdated():
                    await self._store.remove_outdated(catalog_id)
                self._train_times_us = train_times_us
        except errors.AkinError as exc:
            log.warning("training_cleanup_failed", reason=exc.reason)

    async def _read_changes(self) -> Mapping[int, LikeChanges]:
        """Return how much the likes of each catalog have changed; empty if that is not known."""
        try:
            changes = await self._store.read_all_changes()
        except errors.AkinError as exc:
            structlog.get_logger().warning("training_failed", reason=exc.reason)
            return {}
        self._settled = {
            catalog_id: state
            for catalog_id, state in self._settled.items()
            if catalog_id in changes
        }
        return changes

    async def _try_training(self, name: str, changes: Mapping[int, LikeChanges]) -> None:
        """Train the model of a catalog if it is due, and log failures."""
        log = structlog.get_logger()
        try:
            async with self._catalogs.use(name) as catalog:
                catalog_id, record = catalog.record.catalog_id, catalog.record
                train_time_us = (self._train_times_us or {}).get(catalog_id)
                signals = catalog.signals
            if catalog_id not in changes:
                return
            state = _TrainingState(changes[catalog_id], train_time_us, record.settings, signals)
            if self._settled.get(catalog_id) == state:
                return
            self._settled.pop(catalog_id, None)
            if await self._look_at(name):
                self._settled[catalog_id] = state
        except errors.CatalogNotFound:
            pass
        except (errors.AkinError, TrainingFailed) as exc:
            log.warning("training_failed", catalog=name, reason=exc.reason)
        except (OSError, EOFError, ValueError) as exc:
            log.warning("training_failed", catalog=name, reason=type(exc).__name__)
        except Exception as exc:  # a failed training must not end the server
            log.exception("training_failed", catalog=name, reason=type(exc).__name__)

    async def _look_at(self, name: str) -> bool:
        """Train the model of a catalog if it is due.

        Returns:
            Whether there is nothing to do until likes, settings or the model change.
        """
        async with self._catalogs.use(name) as catalog:
            catalog_id = catalog.record.catalog_id
            learns = catalog.signals is not SignalMode.TEXT
            if learns and time.monotonic() < self._rest_until.get(catalog_id, 0.0):
                return False
            changes = await self._store.read_changes(catalog_id)
            summary = await self._store.read_summary(catalog_id)
            weights = dict(catalog.record.settings.all_weights)
        if not learns:
            if summary and changes.deletion_count != summary.input.like_deletion_count:
                # Someone wants to be forgotten, and no training will replace the model.
                await self._store.remove(catalog_id, summary.train_time_us)
                return False
            return True
        present = TrainingInput(*changes, weights)
        now_us = self._clock_ns() // 1_000
        if not is_due(summary, present, now_us):
            # Changes that are too few become due with the age of the model.
            return summary is None or present == summary.input
        started, least_rest = time.monotonic(), FAILURE_REST_SECONDS
        try:
            await self._train(name, catalog_id, summary, present)
            least_rest = 0.0
        finally:
            ended = time.monotonic()
            rest = max(TRAINING_REST_FACTOR * (ended - started), least_rest)
            self._rest_until[catalog_id] = ended + rest
        return False

    async def _train(
        self,
        name: str,
        catalog_id: int,
        former: TrainingSummary | None,
        present: TrainingInput,
    ) -> None:
        started = time.monotonic()
        own_folder = self._folder / str(catalog_id)
        former_time_us = 0 if former is None else former.train_time_us
        train_time_us = max(self._clock_ns() // 1_000, former_time_us + 1)
        state = own_folder / str(former_time_us) / STATE_FOLDER
        folder = own_folder / str(train_time_us)
        task = TrainingTask(
            self._source,
            catalog_id,
            present.weights,
            train_time_us,
            state if former is not None and _can_continue(former, present, state) else None,
            folder,
        )
        await asyncio.to_thread(files.create_folder, folder, private_levels=3)
        try:
            result = await self._run_process(name, task)
            summary = TrainingSummary(
                train_time_us, present, result.like_count, result.item_count, result.blend
            )
            arrays = await asyncio.to_thread(read_arrays, folder / MODEL_FOLDER)
            await self._store.save(catalog_id, summary, arrays)
        except BaseException:
            self._train_times_us = None  # pieces of the model may be stored
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        await asyncio.to_thread(remove_former, own_folder, folder)
        self._show_model()
        structlog.get_logger().info(
            "trained",
            catalog=name,
            likes=result.like_count,
            items=result.item_count,
            test_users=result.blend.people_count,
            gain=round(result.blend.gain, 4),
            uses_behavior=result.blend.weights.uses_behavior,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _run_process(self, name: str, task: TrainingTask) -> TrainingResult:
        """Train in another process, and score items by text for it.

        Raises:
            TrainingFailed: the process ended without a result.
        """
        ours, theirs = _SPAWN.Pipe()
        # A thread of its own waits for messages: the event loop would make the pipe non-blocking.
        with ours, ThreadPoolExecutor(1, "akin-training") as thread:
            with theirs:
                process = _SPAWN.Process(target=run_training, args=(task, theirs), daemon=True)
                _start(process)
            try:
                while isinstance(message := await _run(thread, ours.recv), ScoreRequest):
                    async with self._catalogs.use(name) as catalog:
                        scores = await _score(catalog, message)
                    await _run(thread, partial(ours.send, scores))
            finally:
                # Ends the thread, which may be reading or writing, before the connection closes.
                process.kill()
                await asyncio.to_thread(process.join)
                process.close()
        if isinstance(message, TrainingError):
            raise TrainingFailed(message.name)
        assert isinstance(message, TrainingResult)  # noqa: S101  (there are no other messages)
        return message


def _can_continue(former: TrainingSummary, present: TrainingInput, state: Path) -> bool:
    """Return whether only what changed since the training before needs to be solved.

    What was learned from deleted likes must go, so that everything is solved again.
    """
    return (
        former.input.like_deletion_count == present.like_deletion_count
        and former.input.weights == present.weights
        and state.is_dir()
    )


async def _score(catalog: CatalogHandle, request: ScoreRequest) -> tuple[list[str], Any]:
    return await catalog.recommender.score_by_text(request.liked_ids, request.item_ids)


def _start(process: SpawnProcess) -> None:
    """Start a process that does not get the interrupts of a terminal: the server ends it."""
    # The tracker starts with the first process, and unblocks interrupts after that.
    resource_tracker.ensure_running()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


async def _run(thread: ThreadPoolExecutor, work: Callable[[], object]) -> object:
    """Send or receive a message in a thread.

    Raises:
        TrainingFailed: the other process has ended.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except (EOFError, ConnectionError):
        raise TrainingFailed("the process has ended") from None
