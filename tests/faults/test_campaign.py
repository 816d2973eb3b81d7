from __future__ import annotations

from pathlib import Path

import pytest

from faults import shim
from faults.campaign import CONTROL, KINDS, Campaign, Failure, choose_kind, run_scenario
from faults.model import Key, Violation
from faults.postgres_scenarios import POSTGRES_KINDS, POSTGRES_SCENARIOS
from faults.scenarios import SCENARIOS, BrokenPromise, cut_power_without_syncs
from faults.tally import Tally

pytestmark = pytest.mark.slow

# With SEED, power cuts happen in a data folder that was there before the server.
SEED = 14
NEW_FOLDER_SEED = 8
VACUUM_SEED = KINDS.index("vacuum")
NEEDS_SHIM = ("power cuts", "clock", "snapshots")


class RecordingDisplay:
    """Records the scenarios that ended: seed, kind, and whether they succeeded."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, str, bool]] = []

    def start(self, seed: int, kind: str) -> None:
        """Records nothing."""

    def end(self, seed: int, kind: str, tally: Tally, failure: Failure | None) -> None:
        """Records the end."""
        self.ended.append((seed, kind, failure is None))


@pytest.mark.parametrize("kind", sorted(SCENARIOS))
def test_faults_lose_nothing(kind: str) -> None:
    """After faults of each kind, every acknowledged state is there, once, and is served."""
    if kind in NEEDS_SHIM and shim.find_problem():
        pytest.skip(shim.find_problem())
    tally = Tally()
    failure = run_scenario(SEED, kind, SCENARIOS[kind], tally)
    assert failure is None, failure.problem
    assert kind in tally.skipped or tally.compared > tally.acknowledged / 4 > 0


@pytest.mark.parametrize("kind", ["database", "workers"])
def test_faults_lose_nothing_in_postgresql(kind: str) -> None:
    """After faults of each kind over PostgreSQL, every acknowledged state is there, once."""
    tally = Tally()
    failure = run_scenario(SEED, kind, POSTGRES_SCENARIOS[kind], tally)
    assert failure is None, failure.problem
    assert tally.compared > tally.acknowledged / 4 > 0


@pytest.mark.skipif(bool(shim.find_problem()), reason=shim.find_problem() or "unused")
def test_power_cuts_lose_nothing_in_a_folder_that_the_server_made() -> None:
    """What a server acknowledges at its very first start survives a power cut, like its folder."""
    tally = Tally()
    failure = run_scenario(NEW_FOLDER_SEED, "power cuts", SCENARIOS["power cuts"], tally)
    assert failure is None, failure.problem
    assert 0 < tally.power_cuts


@pytest.mark.skipif(bool(shim.find_problem()), reason=shim.find_problem() or "unused")
def test_the_campaign_sees_losses() -> None:
    """The negative control: with syncs switched off, power cuts lose acknowledged states."""
    tally = Tally()
    failure = run_scenario(SEED, CONTROL, cut_power_without_syncs, tally)
    assert failure is None, failure.problem
    assert 0 < tally.control_losses


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
