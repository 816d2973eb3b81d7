"""Runs scenarios one after another, and reports what they found."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from faults.scenarios import SCENARIOS, BrokenPromise, Scenario, cut_power_without_syncs
from faults.tally import Tally

CONTROL = "control"

# The kinds of scenarios, in the order of their seeds; kills and power cuts come more often.
KINDS = (
    "kills",
    "power cuts",
    "workers",
    "power cuts",
    "kills",
    "full disk",
    "power cuts",
    "provider",
    "kills",
    "power cuts",
    "clock",
    "vacuum",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A scenario that failed: replay it with its seed and kind."""

    seed: int
    kind: str
    problem: str


Show = Callable[[int, str, Tally, Failure | None], None]


def choose_kind(seed: int) -> str:
    """Return the kind of the scenario with a seed."""
    return KINDS[seed % len(KINDS)]


def run_campaign(
    seeds: Iterator[int], has_time: Callable[[], bool], show: Show, *, has_control: bool = True
) -> tuple[Tally, list[Failure]]:
    """Run the negative control, and then scenarios while there is time.

    Args:
        seeds: the seed of each scenario, which alone decides its kind and what happens in it.
        has_time: is asked before each scenario.
        show: is called after each scenario.
        has_control: whether to run the negative control.
    """
    tally = Tally()
    failures: list[Failure] = []

    def run(seed: int, kind: str, scenario: Scenario) -> None:
        failure = run_scenario(seed, kind, scenario, tally)
        if failure is not None:
            failures.append(failure)
        show(seed, kind, tally, failure)

    for number, seed in enumerate(seeds):
        if not has_time():
            break
        if number == 0 and has_control:
            run(seed, CONTROL, cut_power_without_syncs)
        kind = choose_kind(seed)
        run(seed, kind, SCENARIOS[kind])
    return tally, failures


def run_scenario(seed: int, kind: str, scenario: Scenario, tally: Tally) -> Failure | None:
    """Run one scenario in a folder of its own, which stays if the scenario fails."""
    folder = Path(tempfile.mkdtemp(prefix="akin-faults-"))
    tally.scenarios += 1
    try:
        scenario(f"{kind}/{seed}", folder, tally)
    except BrokenPromise as exc:
        problem = str(exc)
    except Exception:  # noqa: BLE001  (a scenario that fails must not end the campaign)
        problem = traceback.format_exc()
    else:
        shutil.rmtree(folder)
        return None
    tally.failed_scenarios += 1
    return Failure(seed, kind, f"{problem}\nfiles: {folder}")


def make_clock_limit(minutes: float) -> Callable[[], bool]:
    """Return a function that returns whether the minutes have not passed yet."""
    end = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() < end
