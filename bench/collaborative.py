"""How long training takes from nothing and after 1% more likes, with how much memory.

    python bench/collaborative.py [--items N] [--likes N] [--json FILE]

The likes are generated (see interactions.py). The last likes of random people are left out of the
first training. One thread of one process does everything; the generator runs in a process of its
own, so that the peak memory is that of the training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import interactions
import numpy as np
from threadpoolctl import threadpool_limits

from service.recommend.collaborative.histories import Histories
from service.recommend.collaborative.model_training import Training, train
from service.recommend.collaborative.profile_scores import build_profile, score_profile
from service.recommend.collaborative.sparse_rows import SparseRows

NEW_SHARE = 0.01
PROFILE_SIZES = (10, 30, 100, 256)
PROFILES = 200

Result = TypeVar("Result")


def write_histories(folder: Path, items: int, likes: int) -> None:
    """Generate histories, and write them with and without the newest likes."""
    histories = interactions.generate(items, likes)
    for name, part in [
        ("before", interactions.leave_out_latest(histories, NEW_SHARE)),
        ("after", histories),
    ]:
        for field in ("offsets", "items", "weights"):
            np.save(folder / f"{name}_{field}.npy", getattr(part, field))


def read_histories(folder: Path, name: str, items: int) -> Histories:
    """Return histories as `write_histories` wrote them."""
    offsets, likes, weights = (
        np.load(folder / f"{name}_{field}.npy") for field in ("offsets", "items", "weights")
    )
    return Histories(offsets, likes, weights, items)


def measure(run: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds of a call, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def count_bytes(rows: SparseRows) -> int:
    """Return the size of a matrix on disk."""
    return rows.offsets.nbytes + rows.columns.nbytes + rows.weights.nbytes


def measure_queries(training: Training) -> dict[str, float]:
    """Return the median milliseconds to score profiles of several sizes."""
    rng = np.random.default_rng(1)
    liked = np.flatnonzero(np.diff(training.model.ridge.offsets)).astype(np.int32)
    weights = training.model.totals[liked] / training.model.totals[liked].sum(dtype=np.float64)
    results = {}
    for size in PROFILE_SIZES:
        ones = np.ones(size, np.float32)
        profiles = [
            build_profile(rng.choice(liked, size, replace=False, p=weights), ones)
            for _ in range(PROFILES)
        ]
        seconds = [measure(partial(score_profile, training.model, p))[0] for p in profiles]
        results[f"score a profile of {size} likes, ms"] = round(1000 * median(seconds), 2)
    return results


def run(folder: Path, items: int, likes: int) -> dict[str, float]:
    """Train twice and return the figures."""
    context = multiprocessing.get_context("spawn")
    generator = context.Process(target=write_histories, args=(folder, items, likes))
    generator.start()
    generator.join()
    before = read_histories(folder, "before", items)
    after = read_histories(folder, "after", items)
    seconds, training = measure(lambda: train(before))
    update_seconds, update = measure(lambda: train(after, training.state))
    model, state = update.model, update.state
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "items": items,
        "likes": len(after.items),
        "people": after.people_count,
        "new likes": len(after.items) - len(before.items),
        "train from nothing, s": round(seconds, 1),
        "items solved from nothing": training.solved_count,
        "train after new likes, s": round(update_seconds, 1),
        "items solved again": update.solved_count,
        "peak memory, MB": peak // 1024,
        "model, MB": (count_bytes(model.ridge) + count_bytes(model.following)) // 10**6,
        "state, MB": (count_bytes(state.columns) + state.pair_weights.nbytes) // 10**6,
        **measure_queries(update),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--likes", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, user_api="blas"):
        figures = run(Path(folder), options.items, options.likes)
    for name, figure in figures.items():
        print(f"{name:40}{figure:>14,}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
