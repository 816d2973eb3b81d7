import pytest

from faults import shim
from faults.campaign import CONTROL, run_scenario
from faults.scenario_checks import NEW_FOLDER_SEED, POWER_CUTS, SEED, check_scenario
from faults.scenarios import SCENARIOS, cut_power_without_syncs
from faults.tally import Tally

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", POWER_CUTS)
def test_power_cuts_lose_nothing(kind: str) -> None:
    """After power cuts, every acknowledged state is there, once, and is served."""
    check_scenario(kind)


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
