import asyncio

import pytest

from service import errors
from service.api.admission import KEY_SHARE, AdmissionControl, CallKind

KINDS = list(CallKind)


def test_closed_admission_refuses_every_call() -> None:
    """Before admission opens every call is refused with a retry delay."""
    admission = AdmissionControl()
    with pytest.raises(errors.NotReady) as raised:
        asyncio.run(admission.check_open())
    assert raised.value.retry_after_seconds
    admission.is_open = True
    asyncio.run(admission.check_open())


def test_held_calls_are_refused_when_admission_closes() -> None:
    """While the server drains, further calls wait until it stops, and are then refused."""

    async def check() -> None:
        admission = AdmissionControl()
        admission.is_open = True
        admission.hold()
        held = asyncio.create_task(admission.check_open())
        await asyncio.sleep(0)
        assert not held.done()
        admission.close()
        with pytest.raises(errors.NotReady, match="shutting down"):
            await held
        with pytest.raises(errors.NotReady, match="shutting down"):
            await admission.check_open()

    asyncio.run(check())


@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_each_kind_are_limited(kind: CallKind) -> None:
    """Beyond their limit further calls of a kind are refused until one has ended."""
    admission = AdmissionControl()
    for _ in range(kind.value):
        admission.enter(kind, None)
    with pytest.raises(errors.Overloaded):
        admission.enter(kind, None)
    admission.leave(kind, None)
    admission.enter(kind, None)


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_leaves_room_for_the_others(kind: CallKind) -> None:
    """Streams or analyses that use up their limit do not keep calls out, nor the reverse."""
    admission = AdmissionControl()
    for _ in range(kind.value):
        admission.enter(kind, None)
    for other in KINDS:
        if other is not kind:
            admission.enter(other, None)


@pytest.mark.parametrize("kind", KINDS)
def test_one_key_leaves_room_for_the_others(kind: CallKind) -> None:
    """A key that has its share of the calls in progress is refused, and other keys are admitted."""
    admission = AdmissionControl()
    for _ in range(int(kind.value * KEY_SHARE)):
        admission.enter(kind, "greedy")
    with pytest.raises(errors.Overloaded, match="with this key"):
        admission.enter(kind, "greedy")
    admission.enter(kind, "modest")
    admission.leave(kind, "greedy")
    admission.enter(kind, "greedy")


def test_a_refused_call_is_not_counted() -> None:
    """Refusals use up neither the limit of all calls nor that of the key."""
    admission = AdmissionControl()
    share = int(CallKind.CALL.value * KEY_SHARE)
    for _ in range(share):
        admission.enter(CallKind.CALL, "greedy")
    for _ in range(share):
        with pytest.raises(errors.Overloaded):
            admission.enter(CallKind.CALL, "greedy")
    for _ in range(share):
        admission.enter(CallKind.CALL, None)
    with pytest.raises(errors.Overloaded):
        admission.enter(CallKind.CALL, None)
