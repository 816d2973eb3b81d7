import pytest

from faults.scenario_checks import KILLS, check_scenario

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KILLS)
def test_kills_lose_nothing(kind: str) -> None:
    """After kills of servers, workers and trainings, every acknowledged state is there, once."""
    check_scenario(kind)
