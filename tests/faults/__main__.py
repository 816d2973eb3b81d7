"""Runs a fault campaign, or replays one scenario of it."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from rich.console import Console
from rich.status import Status
from rich.table import Table

from faults.campaign import Campaign, Failure, limit_minutes
from faults.postgres_scenarios import POSTGRES_KINDS, POSTGRES_SCENARIOS
from faults.tally import Tally

MINUTES = 2.0
MAX_SEED = 1_000_000_000


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    signal.signal(signal.SIGTERM, exit_on_signal)  # so that the servers end too
    options = _parse()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    first_seed = secrets.randbelow(MAX_SEED) if options.seed is None else options.seed
    console.print(f"seed {first_seed}")
    is_postgres = options.store == "postgres"
    display = TerminalDisplay(console, "STORE=postgres " if is_postgres else "")
    if is_postgres:
        campaign = Campaign(display, POSTGRES_SCENARIOS, POSTGRES_KINDS)
    else:
        campaign = Campaign(display)
    with suppress(KeyboardInterrupt):  # the results so far are worth printing
        if options.minutes is None and options.seed is not None:
            campaign.run(first_seed)
        else:
            has_time = limit_minutes(MINUTES if options.minutes is None else options.minutes)
            if not is_postgres:
                campaign.run_control(first_seed)
            campaign.run_while(has_time, first_seed)
    if options.json:
        sys.stdout.write(json.dumps(_describe(first_seed, campaign)) + "\n")
    else:
        Console().print(make_table(campaign.tally))
    return 1 if campaign.failures else 0


class TerminalDisplay:
    """Shows the scenario that runs, and a line for each that has ended.

    Args:
        console: to write to.
        variables: of the command that replays a scenario, besides the seed.
    """

    def __init__(self, console: Console, variables: str = "") -> None:
        self._console = console
        self._variables = variables
        self._status: Status | None = None

    def start(self, seed: int, kind: str) -> None:
        """Show that a scenario starts."""
        self._status = self._console.status(f"seed {seed}: {kind}")
        self._status.start()

    def end(self, seed: int, kind: str, tally: Tally, failure: Failure | None) -> None:
        """Show how a scenario ended, and the tally so far."""
        if self._status is not None:
            self._status.stop()
        self._console.print(
            f"{'ok' if failure is None else 'FAILED':6} seed {seed}, {kind}. So far: "
            f"{tally.kills} kills, {tally.power_cuts} power cuts, "
            f"{tally.acknowledged:,} states acknowledged, {tally.compared:,} compared"
        )
        if failure is not None:
            self._console.print(failure.problem, markup=False)
            self._console.print(f"replay: make faults {self._variables}SEED={failure.seed}")


def make_table(tally: Tally) -> Table:
    """Return a table of what a campaign did and found."""
    table = Table("", "number")
    for name, value in tally.as_dict().items():
        if isinstance(value, int):
            table.add_row(name.replace("_", " "), f"{value:,}")
    for name, reason in tally.skipped.items():
        table.add_row(f"skipped: {name}", reason)
    return table


def exit_on_signal(signal_number: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal_number)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"time in which scenarios start (default: {MINUTES:g}; with --seed, one scenario)",
    )
    parser.add_argument(
        "--seed", type=int, help="seed of the first scenario; the next ones have the seeds after it"
    )
    parser.add_argument(
        "--store",
        choices=["sqlite", "postgres"],
        default="sqlite",
        help="the store of the servers (default: sqlite)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser.parse_args()


def _describe(first_seed: int, campaign: Campaign) -> dict[str, object]:
    failed = [{"seed": failure.seed, "kind": failure.kind} for failure in campaign.failures]
    return {"seed": first_seed, **campaign.tally.as_dict(), "failed": failed}


if __name__ == "__main__":
    sys.exit(main())
