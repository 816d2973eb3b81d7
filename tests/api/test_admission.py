import pytest

from service import errors
from service.api.admission import CALLS_AT_ONCE, STREAMS_AT_ONCE, AdmissionControl


def open_admission() -> AdmissionControl:
    admission = AdmissionControl()
    admission.is_open = True
    return admission


def test_closed_admission_refuses_every_call() -> None:
    """Before admission opens every call is refused with a retry delay."""
    admission = AdmissionControl()
    with pytest.raises(errors.NotReady) as raised:
        admission.enter(stream=False)
    assert raised.value.retry_after_seconds
    admission.is_open = True
    admission.enter(stream=False)


def test_waiting_streams_leave_room_for_calls() -> None:
    """Beyond their limit further streams are refused, while calls are admitted."""
    admission = open_admission()
    for _ in range(STREAMS_AT_ONCE):
        admission.enter(stream=True)
    with pytest.raises(errors.Overloaded):
        admission.enter(stream=True)
    admission.enter(stream=False)
    admission.leave(stream=True)
    admission.enter(stream=True)


def test_calls_are_limited() -> None:
    """Beyond their limit further calls are refused until one has ended."""
    admission = open_admission()
    for _ in range(CALLS_AT_ONCE):
        admission.enter(stream=False)
    with pytest.raises(errors.Overloaded):
        admission.enter(stream=False)
    admission.leave(stream=False)
    admission.enter(stream=False)
