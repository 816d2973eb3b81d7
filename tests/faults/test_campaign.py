from __future__ import annotations

from pathlib import Path

import pytest

from faults.campaign import KINDS, Campaign, Failure, choose_kind, run_scenario
from faults.model import Key, Violation
from faults.postgres_scenarios import POSTGRES_KINDS, POSTGRES_SCENARIOS
from faults.scenarios import SCENARIOS, BrokenPromise
from faults.tally import Tally

pytestmark = pytest.mark.slow

VACUUM_SEED = KINDS.index("vacuum")


class RecordingDisplay:
    """Records the scenarios that ended: seed, kind, and whether they succeeded."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, str, bool]] = []

    def start(self, seed: int, kind: str) -> None:
        """Records nothing."""

    def end(self, seed: int, kind: str, tally: Tally, failure: Failure | None) -> None:
        """Records the end."""
        self.ended.append((seed, kind, failure is None))


def test_a_failure_is_reported_with_its_seed() -> None:
    """A scenario that finds a violation ends with its seed, its kind and the violation."""
    failure = run_scenario(5, "kills", break_promise, Tally())
    assert failure is not None
    assert (5, "kills") == (failure.seed, failure.kind)
    assert "lost: default/item/a: gone" in failure.problem


def test_a_campaign_runs_the_seeds_in_order() -> None:
    """While there is time, scenarios run with the seeds after the first one."""
    display = RecordingDisplay()
    campaign = Campaign(display)
    goes_on = iter([True, False])
    campaign.run_while(lambda: next(goes_on), VACUUM_SEED)
    assert [(VACUUM_SEED, "vacuum", True)] == display.ended
    assert ([], 1) == (campaign.failures, campaign.tally.scenarios)


def test_a_seed_decides_the_kind() -> None:
    """Every kind of scenario comes up, each at the same seeds."""
    assert set(SCENARIOS) == {choose_kind(seed) for seed in range(100)}
    assert set(POSTGRES_SCENARIOS) == {choose_kind(seed, POSTGRES_KINDS) for seed in range(100)}
    assert [*KINDS, *KINDS] == [choose_kind(seed) for seed in range(2 * len(KINDS))]


def break_promise(seed: str, folder: Path, tally: Tally) -> None:
    raise BrokenPromise([Violation("lost", Key("default", "item", "a"), "gone")], None)
