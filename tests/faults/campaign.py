"""Runs scenarios one after another, and reports what they found."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
    "kills",
    "provider",
    "power cuts",
    "workers",
    "clock",
    "kills",
    "vacuum",
    "power cuts",
    "snapshots",
    "training",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A scenario that failed: its seed replays it. `problem` is for people."""

    seed: int
    kind: str
    problem: str


class Display(Protocol):
    """Shows the progress of a campaign."""

    def start(self, seed: int, kind: str) -> None:
        """Show that a scenario starts."""

    def end(self, seed: int, kind: str, tally: Tally, failure: Failure | None) -> None:
        """Show how a scenario ended, and the tally so far."""


class Campaign:
    """Scenarios, and what they did and found together.

    Args:
        display: shows the progress.
        scenarios: by their kinds.
        kinds: in the order of their seeds, again and again.
    """

    def __init__(
        self,
        display: Display,
        scenarios: Mapping[str, Scenario] = SCENARIOS,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self.tally = Tally()
        self.failures: list[Failure] = []
        self._display = display
        self._scenarios = scenarios
        self._kinds = kinds

    def run(self, seed: int) -> None:
        """Run the scenario of a seed, which alone decides its kind and what happens in it."""
        kind = choose_kind(seed, self._kinds)
        self._run(seed, kind, self._scenarios[kind])

    def run_control(self, seed: int) -> None:
        """Run the negative control, which fails if the campaign is blind."""
        self._run(seed, CONTROL, cut_power_without_syncs)

    def run_while(self, has_time: Callable[[], bool], first_seed: int) -> None:
        """Run the scenarios of a seed and of those after it, as long as there is time."""
        for seed in itertools.count(first_seed):
            if not has_time():
                return
            self.run(seed)

    def _run(self, seed: int, kind: str, scenario: Scenario) -> None:
        self._display.start(seed, kind)
        failure = run_scenario(seed, kind, scenario, self.tally)
        if failure is not None:
            self.failures.append(failure)
        self._display.end(seed, kind, self.tally, failure)


def choose_kind(seed: int, kinds: Sequence[str] = KINDS) -> str:
    """Return the kind of the scenario with a seed."""
    return kinds[seed % len(kinds)]


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


def limit_minutes(minutes: float) -> Callable[[], bool]:
    """Return a function that returns whether the minutes have not passed yet."""
    end = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() < end
