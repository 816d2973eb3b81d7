"""Calls whose turn comes after their deadlines."""

import asyncio
import threading
from collections.abc import Callable

from support.import_server import run_import_server

from service.api.load_shedding import LoadShedder
from service.api.message_stream import STREAM_IDLE_SECONDS
from service.api.queued_calls import CallCounts

GIVE_UP_SECONDS = 120.0

# The clock of gRPC counts milliseconds.
TICK_SECONDS = 0.01


class BusyShedder(LoadShedder):
    """Starts each call right after its deadline, as if others kept the event loop busy until then.

    `start_count` counts the calls.
    """

    def __init__(self, counts: CallCounts) -> None:
        super().__init__(counts)
        self.start_count = 0

    async def start(
        self, identify_caller: Callable[[], str], remaining_seconds: float | None = None
    ) -> None:
        """Block the event loop up to the deadline."""
        assert remaining_seconds is not None
        threading.Event().wait(remaining_seconds + TICK_SECONDS)
        await super().start(identify_caller, remaining_seconds)
        self.start_count += 1


async def test_a_call_past_its_deadline_does_no_work() -> None:
    """A call whose deadline passes while it waits for its turn is not done afterwards."""
    shedders: list[BusyShedder] = []

    def make_shedder(counts: CallCounts) -> LoadShedder:
        shedders.append(BusyShedder(counts))
        return shedders[-1]

    async with (
        asyncio.timeout(GIVE_UP_SECONDS),
        run_import_server(STREAM_IDLE_SECONDS, make_shedder) as server,
    ):
        (shedder,) = shedders
        timeout_seconds = 0.1
        while not shedder.start_count:  # on a busy machine, a call can end before it arrives
            assert "" == await server.get_item(timeout_seconds)
            timeout_seconds *= 2
        await server.admission.wait_until_idle()
        assert not server.servicer.failed.is_set()
