import pytest

from service import errors
from service.api.admission import CALLS_AT_ONCE, STREAMS_AT_ONCE, AdmissionControl


def test_a_closed_gate_lets_nobody_in() -> None:
    """Before it is opened every call is refused, and told to come back."""
    admission = AdmissionControl()
    admission.enter(stream=False)
    with pytest.raises(errors.NotReady):
        admission.check(stream=False)
    admission.is_open = True
    admission.check(stream=False)


def test_streams_that_wait_leave_room_for_calls() -> None:
    """Beyond their number further streams are refused, and calls go on."""
    admission = AdmissionControl()
    admission.is_open = True
    for _ in range(STREAMS_AT_ONCE):
        admission.enter(stream=True)
        admission.check(stream=True)
    admission.enter(stream=True)
    with pytest.raises(errors.Overloaded):
        admission.check(stream=True)
    admission.enter(stream=False)
    admission.check(stream=False)
    admission.leave(stream=True)
    admission.check(stream=True)


def test_there_are_only_so_many_calls() -> None:
    """Beyond their number further calls are refused until one has ended."""
    admission = AdmissionControl()
    admission.is_open = True
    for _ in range(CALLS_AT_ONCE + 1):
        admission.enter(stream=False)
    with pytest.raises(errors.Overloaded):
        admission.check(stream=False)
    admission.leave(stream=False)
    admission.check(stream=False)
