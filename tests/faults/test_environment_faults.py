import pytest

from faults.scenario_checks import OTHERS, check_scenario

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", OTHERS)
def test_faults_around_a_server_lose_nothing(kind: str) -> None:
    """After faults of disk, clock, provider and vacuum, every acknowledged state is there, once."""
    check_scenario(kind)
