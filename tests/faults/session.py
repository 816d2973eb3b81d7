"""Writers against a server over one data folder, through several faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faults.clock import Clock
from faults.comparison import compare
from faults.model import Observation, Violation
from faults.observation import check_index, observe_server
from faults.operations import run_writer
from faults.recorder import Recorder
from faults.server import LOG_CHARACTERS, FaultyServer
from faults.writer import Conditions, Stubs, Writer

WRITERS = 4
WAIT_SECONDS = 120.0
SECOND_US = 1_000_000


class WriterFailed(Exception):
    """A writer ended with an exception, which is the cause."""


class Stalled(Exception):
    """The server acknowledged too little in the time that writers waited."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How servers of a session run.

    Attributes:
        workers: the number of workers.
        settings: the settings, without prefix.
        variables: environment variables.
        conditions: what writers may rely on.
        clock: the wall clock, if it is not the real one.
    """

    workers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    clock: Clock | None = None


class Session:
    """The folder, the model of what is in it, and the server.

    Args:
        folder: an empty folder.
        seed: of everything that writers do.
        options: how servers run.
        read_position: orders the events of the recorder.
    """

    def __init__(
        self,
        folder: Path,
        seed: str,
        options: ServerOptions,
        read_position: Callable[[], int] | None = None,
    ) -> None:
        self.folder = folder
        self.recorder = Recorder(read_position)
        self.verified_states = 0
        self._seed = seed
        self.options = options
        self._rounds = 0
        self._servers = 0
        self._has_restarted = True
        self._writers: list[Writer] = []
        self.server = self.start_server()
        with Stubs(self.server.address) as stubs:
            self.recorder.model.settle(self._observe(stubs), has_restarted=True)

    def start_server(self) -> FaultyServer:
        """Start a server, and use it from now on."""
        options = self.options
        self._has_restarted = True
        self._servers += 1
        log_path = self.folder.parent / f"server-{self._servers}.log"
        self.server = FaultyServer(
            self.folder, log_path, options.workers, options.settings, options.variables
        )
        return self.server

    def run_round(self, states: int, disturb: Callable[[], None]) -> None:
        """Have writers write until more states are acknowledged; then disturb the server.

        Raises:
            Stalled: the server does not acknowledge them.
            WriterFailed: the test itself failed.
        """
        self._rounds += 1
        self._writers = [self._make_writer(number) for number in range(WRITERS)]
        failures: list[BaseException] = []

        def run(writer: Writer) -> None:
            try:
                self._run_writer(writer)
            except BaseException as exc:  # noqa: BLE001  (the main thread raises it)
                failures.append(exc)

        threads = [threading.Thread(target=run, args=(writer,)) for writer in self._writers]
        for thread in threads:
            thread.start()
        try:
            self.write_more(states)
            disturb()
        finally:
            self.stop_writers()
            for thread in threads:
                thread.join(WAIT_SECONDS)
            for writer in self._writers:
                writer.close()
        if failures:
            raise WriterFailed from failures[0]

    def stop_writers(self) -> None:
        """Have writers send nothing more."""
        for writer in self._writers:
            writer.stopped.set()

    def write_more(self, states: int) -> None:
        """Wait until a number of further states is acknowledged.

        Raises:
            Stalled: the server does not acknowledge them.
        """
        before = self.recorder.acknowledged_count
        if not self.recorder.wait_for(before + states, WAIT_SECONDS):
            count = self.recorder.acknowledged_count - before
            log = self.server.read_log()[-LOG_CHARACTERS:]
            raise Stalled(f"{count} of {states} states in {WAIT_SECONDS:g} s:\n{log}")

    def verify(self) -> list[Violation]:
        """Compare all that the server has with the model, over one connection for each worker."""
        violations: list[Violation] = []
        for _ in range(self.options.workers):
            with Stubs(self.server.address) as stubs:
                observed = self._observe(stubs)
                violations += compare(self.recorder.model, observed)
                violations += check_index(stubs, observed, observed.last_sequence)
            self.recorder.model.settle(observed, has_restarted=self._has_restarted)
            self.verified_states += len(observed.versions)
        violations += self.recorder.violations
        self.recorder.violations = []
        self._has_restarted = False
        return violations

    def close(self) -> None:
        """End the server."""
        self.server.kill()

    def _observe(self, stubs: Stubs) -> Observation:
        last_sequence = self.recorder.model.last_sequence
        observed = observe_server(stubs, last_sequence)
        clock = self.options.clock
        if clock is not None:
            observed.earliest_us += clock.offset_seconds * SECOND_US
            observed.latest_us += clock.latest_offset_seconds * SECOND_US
        return observed

    def _run_writer(self, writer: Writer) -> None:
        run_writer(writer)

    def _make_writer(self, number: int) -> Writer:
        seed = f"{self._seed}/{self._rounds}/{number}"
        address = self.server.address
        return Writer(number, seed, self.recorder, address, self.options.conditions)
