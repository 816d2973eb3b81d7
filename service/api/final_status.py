"""The status with which the server ended a call of a client of grpc.aio."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from service.api.method_calls import CallEnd, make_call_end

# How grpc.aio describes a message that it could not send because the call has ended.
SEND_FAILED = "Internal error from Core"

# Bound the wait for the status of a call that has ended.
STATUS_CHECKS = 100
STATUS_PAUSE_SECONDS = 0.01


class FinalStatus:
    """The status of a call, which can be OK.

    If the call ends while grpc.aio sends a message, grpc.aio replaces the status with an error of
    its own, or raises that error before the status arrives.

    Args:
        call: the call, whose status is read when it arrives.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        self._call = call
        self._first: CallEnd | None = None
        call.add_done_callback(self._read)

    async def wait(self) -> CallEnd:
        """Wait for the status of a call that has ended."""
        end = self._first
        for _ in range(STATUS_CHECKS):
            if end is not None and end.status.message != SEND_FAILED:
                return end
            # grpc.aio does not call back when the status replaces its own error.
            await asyncio.sleep(STATUS_PAUSE_SECONDS)
            end = await _read_end(self._call)
        return await _read_end(self._call)

    def _read(self, call: Any) -> None:  # noqa: ANN401 (grpc.aio does not say which)
        """Read the status, which is present. A task would run too late, after its replacement."""
        try:
            _read_end(call).send(None)
        except StopIteration as result:
            self._first = result.value


async def _read_end(call: grpc.aio.Call) -> CallEnd:
    """Return the present status of a call that has ended, without waiting."""
    code = await call.code()
    trailers = tuple(await call.trailing_metadata() or ())
    return make_call_end(code.value[0], await call.details() or "", trailers)
