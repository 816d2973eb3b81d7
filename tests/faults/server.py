"""A server that faults befall: a group of processes, which a signal can reach each alone."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support import processes
from support.server import SERVE, environment
from support.trainings import is_running
from support.waiting import until

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
END_SECONDS = 60.0

# Characters of a log that messages have.
LOG_CHARACTERS = 2_000


class ServerEnded(Exception):
    """The server ended before it served, or with an error; the message has the end of its log."""


class FaultyServer:
    """A server over the folder `data` below `folder`, which serves once constructed.

    Args:
        folder: its working folder.
        log_path: the file to write its log to.
        workers: the number of its workers.
        settings: its settings, without their prefix.
        variables: more environment variables.
    """

    def __init__(
        self,
        folder: Path,
        log_path: Path,
        workers: int,
        settings: Mapping[str, str] = NO_VARIABLES,
        variables: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self.workers = workers
        self.log_path = log_path
        with log_path.open("wb") as log:
            self._process = processes.start(
                SERVE,
                folder=folder,
                environment={
                    **environment(folder, WORKERS=str(workers), **settings),
                    **variables,
                },
                output=log.fileno(),
                errors=log.fileno(),
                starts_session=True,
            )
        try:
            self.wait_for("serving", workers)
        except BaseException:
            self.kill()
            raise
        self.address = str(self.list_events("serving")[0]["address"])

    def list_events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of its log of one event, oldest first."""
        lines = self.read_log().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and f'"{name}"' in line]

    def read_log(self) -> str:
        """Return its log; the last line may be incomplete."""
        text = self.log_path.read_text(errors="replace")
        return text[: text.rfind("\n") + 1]

    def wait_for(self, event: str, times: int) -> None:
        """Wait until the log has an event a number of times.

        Raises:
            ServerEnded: the server ended before.
        """

        def has_event() -> bool:
            has_ended = self._process.poll() is not None
            if len(self.list_events(event)) >= times:
                return True
            if has_ended:
                raise ServerEnded(self.read_log()[-LOG_CHARACTERS:])
            return False

        until(has_event)

    def list_worker_ids(self) -> list[int]:
        """Return the process ids of the workers that serve, by worker number."""
        latest = {line.get("worker", 0): line["process_id"] for line in self.list_events("serving")}
        return [latest[number] for number in sorted(latest)]

    def signal_worker(self, number: int, signal_number: signal.Signals) -> None:
        """Send a signal to one worker."""
        os.kill(self.list_worker_ids()[number], signal_number)

    def signal_supervisor(self, signal_number: signal.Signals) -> None:
        """Send a signal to the process that was started, which with one worker serves itself."""
        self._process.send_signal(signal_number)

    def signal_group(self, signal_number: signal.Signals) -> None:
        """Send a signal to all processes of the server."""
        os.killpg(self._process.pid, signal_number)

    def limit_files(self, size_bytes: int) -> None:
        """Limit the size that files of the workers may grow to; RLIM_INFINITY ends the limit."""
        for process_id in self.list_worker_ids():
            limits = (size_bytes, resource.RLIM_INFINITY)
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, limits)

    def kill(self) -> None:
        """End all processes at once, also after the death of the one that was started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(END_SECONDS)

    def stop(self) -> None:
        """Ask the server to end, and wait until it has.

        Raises:
            ServerEnded: its exit status is not 0.
        """
        self._process.terminate()
        status = self._process.wait(END_SECONDS)
        if status:
            raise ServerEnded(f"exit status {status}: {self.read_log()[-LOG_CHARACTERS:]}")

    def wait_for_group_end(self) -> None:
        """Wait until no process of the server runs any more."""
        process_ids = self.list_worker_ids()
        self._process.wait(END_SECONDS)
        until(lambda: not any(map(is_running, process_ids)))
