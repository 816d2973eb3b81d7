"""Memory, threads, open files and disk space of a server after long mixed work.

    python bench/soak.py [--minutes M] [--baseline B] [--workers W] [--plot FILE] [--json FILE]

The work is a cycle of B/10 minutes that always does the same: writes and deletions of items and
users, imports, recommendations, analyses, a re-embedding to another model and back, catalogs that
are made and deleted, and a backup. The server is measured at the end of each cycle. The figures of
the last half of B minutes are compared with those around B minutes; more than 1.05 times is growth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import charts
from process_usage import NAMES, Usage, compute_medians, draw, measure
from provider import scripted_provider
from servers import akin_server
from soak_work import Work

CYCLES_TO_BASELINE = 10

# Cycles on each side of the baseline, whose median counts, and as many in the end.
CYCLES_AROUND = 2

# Growth up to this is noise.
MAX_RATIO = 1.05

# What must not grow. The other figures explain these.
JUDGED = ("rss", "threads", "files", "disk")

PROVIDER_MILLISECONDS = 5.0

# Receives the number of a cycle that has ended, and how many there will be.
Sample = Callable[[int, int], None]


async def run_cycles(work: Work, options: argparse.Namespace, sample: Sample) -> list[float]:
    """Work until the time is up; return the seconds of each cycle."""
    cycle_seconds = 60.0 * options.baseline / CYCLES_TO_BASELINE
    cycles = max(round(60.0 * options.minutes / cycle_seconds), CYCLES_TO_BASELINE + 3)
    durations = []
    for number in range(cycles):
        started = time.monotonic()
        await work.run_cycle(number, cycle_seconds)
        durations.append(time.monotonic() - started)
        sample(number, cycles)
        await asyncio.sleep(cycle_seconds - (time.monotonic() - started))
    return durations


def summarize(usages: list[Usage]) -> dict[str, dict[str, float]]:
    """Return each figure at the baseline and in the end, and their ratio."""
    first = CYCLES_TO_BASELINE - CYCLES_AROUND - 1
    baseline = compute_medians(usages[first : CYCLES_TO_BASELINE + CYCLES_AROUND])
    end = compute_medians(usages[-(2 * CYCLES_AROUND + 1) :])
    return {
        name: {
            "baseline": round(baseline[name], 1),
            "end": round(end[name], 1),
            "ratio": round(end[name] / baseline[name], 3) if baseline[name] else 0.0,
        }
        for name in NAMES
    }


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Run the server and the work; return the results."""
    usages: list[Usage] = []
    with (
        scripted_provider(PROVIDER_MILLISECONDS) as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        data = Path(folder, "data")
        data.mkdir()
        settings = {
            "AKIN_EMBEDDER": "openai",
            "AKIN_EMBEDDING_BASE_URL": url,
            "AKIN_EMBEDDING_MODEL": "scripted",
            "AKIN_WORKERS": str(options.workers),
        }
        with akin_server(data, **settings) as server:
            work = Work(server.address, data)

            def sample(number: int, cycles: int) -> None:
                usages.append(measure(server.process_id, data))
                shown = ", ".join(f"{name} {getattr(usages[-1], name):.0f}" for name in NAMES)
                print(f"cycle {number + 1} of {cycles}: {shown}", flush=True)

            durations = asyncio.run(run_cycles(work, options, sample))
    return {
        "minutes": options.minutes,
        "baseline_minutes": options.baseline,
        "workers": options.workers,
        "cycles": len(usages),
        "longest_cycle_seconds": round(max(durations), 1),
        "calls": work.calls.total(),
        "failed": dict(work.failures),
        "figures": summarize(usages),
        "samples": {name: [round(getattr(u, name), 1) for u in usages] for name in NAMES},
    }


def print_result(result: dict[str, Any]) -> None:
    """Print a line for each figure."""
    print(f"\n{result['calls']:,} calls in {result['cycles']} cycles; failed: {result['failed']}\n")
    print(f"{'':10} {'baseline':>10} {'end':>10} {'ratio':>7}")
    for name, row in result["figures"].items():
        growth = "growth" if name in JUDGED and row["ratio"] > MAX_RATIO else ""
        line = draw(result["samples"][name])
        print(
            f"{name:10} {row['baseline']:>10,.1f} {row['end']:>10,.1f} {row['ratio']:>7.3f}"
            f"  {line} {growth}"
        )


def main() -> int:
    """Measure and print; return 1 if a figure has grown or calls have failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--baseline", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = soak(options)
    print_result(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2))
    if options.plot is not None:
        charts.usage(options.plot, result)
    has_grown = any(result["figures"][name]["ratio"] > MAX_RATIO for name in JUDGED)
    return int(has_grown or bool(result["failed"]))


if __name__ == "__main__":
    raise SystemExit(main())
