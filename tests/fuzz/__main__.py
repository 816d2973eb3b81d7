"""Fuzzes every method of a server.

    make fuzz [MESSAGES=500] [SEED=1]
    python -m fuzz [--messages N] [--seed N] [--methods TEXT] [--first N]
        [--workers N] [--json FILE]

It starts a server with data of its own. Each call depends only on the seed, its method and its
number, so that `--seed S --methods UpsertItem --first 41 --messages 1` repeats one call.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from fuzz.campaign import Plan, Report, run_fuzz

MIB = 1024 * 1024


def main() -> int:
    """Fuzz, print what came of it, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=500, help="calls of each method")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--methods", default="", help="only methods whose path contains this")
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    options = parser.parse_args()
    plan = Plan(options.seed, options.messages, options.methods, options.first, options.workers)
    print(f"seed {plan.seed}", flush=True)
    report = run_fuzz(plan, show_progress if sys.stderr.isatty() else lambda _done, _total: None)
    print_report(report)
    if options.json is not None:
        options.json.write_text(json.dumps(to_json(report), indent=2))
    return int(report.has_failed)


def show_progress(done: int, total: int) -> None:
    """Show the number of calls on a terminal."""
    print(f"\r{done:,} of {total:,} calls", end="\n" if done >= total else "", file=sys.stderr)


def print_report(report: Report) -> None:
    """Print a line for each method, and each failure."""
    for path, codes in report.codes.items():
        shares = ", ".join(f"{code} {count:,}" for code, count in codes.most_common())
        print(f"{path}: {codes.total():,} calls, slowest {report.slowest[path]:.2f} s: {shares}")
    for failure in report.failures:
        print("", "FAILED: " + "; ".join(failure.problems), failure.call.describe(), sep="\n")
    for problem in report.server_problems[:20]:
        print("", f"SERVER: {problem}", sep="\n")
    start, highest, end = summarize_memory(report)
    print(
        f"{report.call_count:,} calls in {report.seconds:.0f} s, {report.failure_count:,} failed; "
        f"{len(report.server_problems):,} problems of the server; "
        f"memory {start:.0f} MiB at the start, at most {highest:.0f}, {end:.0f} in the end; "
        f"seed {report.plan.seed}"
    )


def summarize_memory(report: Report) -> tuple[float, float, float]:
    """Return the memory of the server at the start, at most, and in the end, in MiB."""
    sizes = [size / MIB for size in report.resident_bytes]
    return sizes[0], max(sizes), sizes[-1]


def to_json(report: Report) -> dict[str, Any]:
    """Return the results as JSON values."""
    start, highest, end = summarize_memory(report)
    return {
        "seed": report.plan.seed,
        "messages": report.plan.messages,
        "calls": report.call_count,
        "seconds": round(report.seconds, 1),
        "failed": report.failure_count,
        "server_problems": report.server_problems,
        "memory_mib": {"start": round(start), "highest": round(highest), "end": round(end)},
        "resident_mib": [round(size / MIB) for size in report.resident_bytes],
        "codes": {path: dict(codes) for path, codes in report.codes.items()},
        "slowest_seconds": {path: round(slow, 3) for path, slow in report.slowest.items()},
        "failures": [
            {"problems": list(failure.problems), "call": failure.call.describe()}
            for failure in report.failures
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
