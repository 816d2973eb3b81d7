from __future__ import annotations

import pytest

from faults.campaign import run_scenario
from faults.postgres_scenarios import POSTGRES_SCENARIOS
from faults.tally import Tally

pytestmark = pytest.mark.slow

SEED = 14


@pytest.mark.parametrize("kind", ["database", "workers"])
def test_faults_lose_nothing_in_postgresql(kind: str) -> None:
    """After faults over PostgreSQL, every acknowledged state is there, once, and is served."""
    tally = Tally()
    failure = run_scenario(SEED, kind, POSTGRES_SCENARIOS[kind], tally)
    assert failure is None, failure.problem
    assert tally.compared > tally.acknowledged / 4 > 0
