"""Runs the cluster campaign."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from faults.__main__ import MAX_SEED, exit_on_signal
from faults.campaign import limit_minutes
from faults.cluster.cluster_campaign import ClusterReport, EventReport, run_campaign
from faults.cluster.events import EVENTS
from faults.scenarios import BrokenPromise

MINUTES = 10.0


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    signal.signal(signal.SIGTERM, exit_on_signal)  # so that the servers end too
    options = _parse()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    seed = secrets.randbelow(MAX_SEED) if options.seed is None else options.seed
    console.print(f"seed {seed}")

    def show(event: EventReport) -> None:
        console.print(
            f"{event.kind}: no write for {event.writes:.1f} s, no primary for {event.absence:.1f} s"
        )

    folder = Path(tempfile.mkdtemp(prefix="akin-cluster-"))
    try:
        report = run_campaign(str(seed), folder, limit_minutes(options.minutes), show)
    except BrokenPromise as exc:
        console.print(str(exc), markup=False)
        console.print(f"files: {folder}")
        return 1
    if options.json:
        summary = {"seed": seed, "is_good": report.is_good, **asdict(report)}
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        Console().print(make_event_table(report), make_table(report))
    if not report.is_good:
        console.print(f"files: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def make_event_table(report: ClusterReport) -> Table:
    """Return a table of the longest times without a success, by kind of event."""
    table = Table(
        "event",
        "number",
        "without a primary, s",
        "without a write, s",
        "on a replica, s",
        "without a read by item, s",
        "by text, s",
    )
    for kind in EVENTS:
        events = [event for event in report.events if event.kind == kind]
        if events:
            gaps = (
                max(event.absence for event in events),
                max(event.writes for event in events),
                max(event.replica_writes for event in events),
                max(event.item_reads for event in events),
                max(event.text_reads for event in events),
            )
            table.add_row(kind, str(len(events)), *(f"{seconds:.1f}" for seconds in gaps))
    return table


def make_table(report: ClusterReport) -> Table:
    """Return a table of what a campaign did and found."""
    table = Table("", "number")
    rows = {
        "states acknowledged": report.acknowledged,
        "states compared": report.compared,
        "calls": report.calls,
        "lost": report.count("lost"),
        "doubled": report.count("doubled"),
        "wrong": report.count("wrong"),
        "failed reads on living replicas": len(report.failed_reads),
        "texts paid for": report.payments.texts,
        "texts repeated after a kill": report.payments.repeated,
        "texts paid for twice": report.payments.doubled,
        **{f"failed calls: {name}": count for name, count in report.failures.items()},
        **{f"unexpected: {name}": count for name, count in report.unexpected.items()},
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:,}")
    for problem in (*report.payments.examples, *sorted(set(report.failed_reads))[:5]):
        table.add_row("problem", problem)
    return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults.cluster", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help=f"time in which events begin (default: {MINUTES:g})",
    )
    parser.add_argument("--seed", type=int, help="seed of what writers do and of what happens")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
