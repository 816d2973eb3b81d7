"""How long the training process takes from nothing and after 1% more interactions.

    python bench/training.py [--items N] [--likes N] [--json FILE]

The interactions are generated (see interactions.py) and recorded in a database. Then the process
that a server starts for a training runs twice: from nothing, and once 1% more are recorded. It
reads the database, trains, and writes the model. Nobody scores items by text for it, so that the
validation itself takes less time than in a server: there it asks 400 times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import interactions
import numpy as np

from service.background.training_process import (
    MODEL_FOLDER,
    STATE_FOLDER,
    ScoreRequest,
    TrainingResult,
    TrainingTask,
    run_training,
)
from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.spaces import Model, Space
from service.recommend.collaborative.histories import Histories
from service.storage.data_folder import DATABASE
from service.storage.opening import open_database
from service.storage.sqlite.sqlite_database import SqliteSource
from service.storage.stores import Stores

NEW_SHARE = 0.01
INTERACTIONS_AT_ONCE = 1_000
CALLS_AT_ONCE = 8
SECONDS_BETWEEN_LIKES = 3_600


def list_interactions(histories: Histories, skip: Histories | None = None) -> Iterator[Interaction]:
    """Yield the likes of histories, without the first ones of each person that `skip` has."""
    for person in range(histories.people_count):
        items = histories.get_items(person).tolist()
        first = 0 if skip is None else len(skip.get_items(person))
        for place in range(first, len(items)):
            time_us = place * SECONDS_BETWEEN_LIKES * 1_000_000
            key = InteractionKey(f"user-{person}", time_us, f"item-{items[place]}", "LIKE")
            yield Interaction(key)


async def record(folder: Path, entries: Iterator[Interaction]) -> tuple[int, float]:
    """Record interactions; return their number and the seconds it took."""
    stores = Stores.over(open_database(folder, time.time_ns))
    started, total = time.perf_counter(), 0
    try:
        generation = await open_catalog(stores)
        pending: set[asyncio.Task[Any]] = set()
        while batch := list(islice(entries, INTERACTIONS_AT_ONCE)):
            total += len(batch)
            work = stores.interactions.record_many(generation, batch)
            pending.add(asyncio.create_task(work))
            if len(pending) >= CALLS_AT_ONCE:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        await asyncio.gather(*pending)
    finally:
        await stores.database.close()
    return total, time.perf_counter() - started


async def open_catalog(stores: Stores) -> Generation:
    """Return the generation of the default catalog, which has no items."""
    model = Model(Space("local", "none", 8))
    return (await stores.generations.open_default(model)).serving.generation


def train(folder: Path, number: int) -> dict[str, float]:
    """Run the training process; return its figures."""
    own = folder / "training"
    state = own / str(number - 1) / STATE_FOLDER
    task = TrainingTask(
        SqliteSource(folder / DATABASE),
        1,
        dict(DEFAULT_TYPE_WEIGHTS),
        time.time_ns() // 1_000,
        state if number else None,
        own / str(number),
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_training, args=(task, theirs))
    started = time.perf_counter()
    process.start()
    theirs.close()
    while isinstance(message := ours.recv(), ScoreRequest):
        ours.send((list(message.item_ids), np.zeros(len(message.item_ids), np.float32)))
    seconds = time.perf_counter() - started
    process.join()
    assert isinstance(message, TrainingResult)
    size = sum(path.stat().st_size for path in (task.folder / MODEL_FOLDER).iterdir())
    return {
        "seconds": round(seconds, 1),
        "likes": message.like_count,
        "learned items": message.item_count,
        "model, MB": size // 10**6,
        "peak memory of all trainings, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        // 1024,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--likes", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    histories = interactions.generate(options.items, options.likes)
    before = interactions.leave_out_latest(histories, NEW_SHARE)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, entries in enumerate(
            (list_interactions(before), list_interactions(histories, before))
        ):
            count, seconds = asyncio.run(record(folder, entries))
            figures[f"{number}"] = {
                "recorded": count,
                "recorded a second": round(count / seconds),
                **train(folder, number),
            }
            print(json.dumps(figures[f"{number}"], indent=2), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
