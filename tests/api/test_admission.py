import pytest

from service import errors
from service.api.admission import CALLS_AT_ONCE, STREAMS_AT_ONCE, Gate


def test_a_closed_gate_lets_nobody_in() -> None:
    """Before it is opened every call is refused, and told to come back."""
    gate = Gate()
    gate.enter(stream=False)
    with pytest.raises(errors.NotReady):
        gate.check(stream=False)
    gate.open = True
    gate.check(stream=False)


def test_streams_that_wait_leave_room_for_calls() -> None:
    """Beyond their number further streams are refused, and calls go on."""
    gate = Gate()
    gate.open = True
    for _ in range(STREAMS_AT_ONCE):
        gate.enter(stream=True)
        gate.check(stream=True)
    gate.enter(stream=True)
    with pytest.raises(errors.Overloaded):
        gate.check(stream=True)
    gate.enter(stream=False)
    gate.check(stream=False)
    gate.leave(stream=True)
    gate.check(stream=True)


def test_there_are_only_so_many_calls() -> None:
    """Beyond their number further calls are refused until one has ended."""
    gate = Gate()
    gate.open = True
    for _ in range(CALLS_AT_ONCE + 1):
        gate.enter(stream=False)
    with pytest.raises(errors.Overloaded):
        gate.check(stream=False)
    gate.leave(stream=False)
    gate.check(stream=False)
