"""Runs a fault campaign: `python -m faults --minutes 60`, or one scenario: `--seed 7 --minutes 0`."""

from __future__ import annotations

import argparse
import itertools
import json
import secrets
import sys

from rich.console import Console
from rich.table import Table

from faults.campaign import Failure, make_clock_limit, run_campaign
from faults.tally import Tally


def main() -> int:
    """Run the campaign that the command line describes; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="start scenarios so long")
    parser.add_argument("--seed", type=int, help="seed of the first scenario; the next ones follow")
    parser.add_argument("--only", action="store_true", help="run the scenario of the seed alone")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"seed {seed}")

    def show(seed: int, kind: str, tally: Tally, failure: Failure | None) -> None:
        console.print(
            f"{'ok' if failure is None else 'FAILED':6} seed {seed} {kind}: "
            f"{tally.kills} kills, {tally.power_cuts} power cuts, "
            f"{tally.acknowledged:,} states acknowledged, {tally.compared:,} compared",
            highlight=False,
        )
        if failure is not None:
            console.print(failure.problem, markup=False, highlight=False)
            console.print(f"replay it with: make faults SEED={failure.seed} ONLY=1")

    seeds = itertools.count(seed)
    if options.only:
        once = iter([True])
        tally, failures = run_campaign(
            seeds, lambda: next(once, False), show, has_control=False
        )
    else:
        tally, failures = run_campaign(seeds, make_clock_limit(options.minutes), show)
    if options.json:
        failed = [{"seed": failure.seed, "kind": failure.kind} for failure in failures]
        sys.stdout.write(json.dumps({"seed": seed, **tally.as_dict(), "failed": failed}) + "\n")
    else:
        Console().print(make_table(tally))
    return 1 if failures else 0


def make_table(tally: Tally) -> Table:
    """Return a table of what a campaign did and found."""
    table = Table("", "number")
    for name, value in tally.as_dict().items():
        if isinstance(value, int):
            table.add_row(name.replace("_", " "), f"{value:,}")
    for name, reason in tally.skipped.items():
        table.add_row(f"skipped: {name}", reason)
    return table


if __name__ == "__main__":
    sys.exit(main())
