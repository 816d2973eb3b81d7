"""What tests expect of scenarios, which several files share so that they run at the same time."""

from __future__ import annotations

import pytest

from faults import shim
from faults.campaign import run_scenario
from faults.scenarios import SCENARIOS
from faults.tally import Tally

# With SEED, power cuts happen in a data folder that was there before the server.
SEED = 14
NEW_FOLDER_SEED = 8

KILLS = ("kills", "training", "workers")
POWER_CUTS = ("power cuts", "snapshots")
OTHERS = tuple(sorted(SCENARIOS.keys() - {*KILLS, *POWER_CUTS}))

_NEEDS_SHIM = ("power cuts", "clock", "snapshots")


def check_scenario(kind: str) -> None:
    """Check that after faults of a kind, every acknowledged state is there, once, and is served."""
    if kind in _NEEDS_SHIM and shim.find_problem():
        pytest.skip(shim.find_problem())
    tally = Tally()
    failure = run_scenario(SEED, kind, SCENARIOS[kind], tally)
    assert failure is None, failure.problem
    assert kind in tally.skipped or tally.compared > tally.acknowledged / 4 > 0
