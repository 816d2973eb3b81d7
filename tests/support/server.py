"""The real process: started on a free port, watched through its log, and always ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any, Self

import akin

from support import processes

WAIT_SECONDS = 120.0
"""How long anything may take before a test gives up: far more than it takes on a busy machine."""

SERVE = ("serve",)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a server with its data below `folder`.

    Settings have no prefix. Proxies and certificate authorities have their own names, and those of
    this process do not apply.
    """
    inherited = {name: value for name, value in os.environ.items() if not _has_full_name(name)}
    defaults = {"LISTEN": "127.0.0.1:0", "DATA_DIR": str(folder / "data")}
    chosen = {
        name if _has_full_name(name) else f"AKIN_{name}": value
        for name, value in (defaults | settings).items()
    }
    return inherited | chosen


def _has_full_name(name: str) -> bool:
    prefixes = ("AKIN_", "OPENROUTER_", "SSL_CERT_")
    return name.startswith(prefixes) or name.lower().endswith("_proxy")


def free_address() -> str:
    """An address that nobody listens on, for servers whose address is a setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def refused(folder: Path, **settings: str) -> tuple[int, list[str]]:
    """The exit code of a server that must not start, and the lines it wrote to standard error."""
    status, _output, errors = processes.run(
        SERVE, folder=folder, environment=environment(folder, **settings), seconds=WAIT_SECONDS
    )
    return status, errors.decode().splitlines()


class RunningServer:
    """A server over the data below `folder`, ready once constructed; a context manager.

    `log` holds what it wrote to standard output and standard error, line by line.
    """

    # A server ends after this at the latest, so that a call without a deadline cannot hang a test.
    life_seconds = 900.0

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.log: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        receiver, sender = os.pipe()
        self._output = os.fdopen(receiver)
        try:
            self._process = processes.start(
                SERVE,
                folder=folder,
                environment=environment(folder, **settings),
                output=sender,
                errors=sender,
            )
        finally:
            os.close(sender)
        self._watchdog = threading.Timer(self.life_seconds, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.address = str(self.wait_for("serving")["address"])
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    @property
    def process_id(self) -> int:
        """The id of its process."""
        return self._process.pid

    def client(self, **options: Any) -> akin.Client:
        """A new client of this server, to be closed by the caller."""
        return akin.Client(self.address, **options)

    def terminate(self) -> None:
        """Asks it to end (SIGTERM)."""
        self._process.terminate()

    def stop(self) -> int:
        """Asks it to end and waits until it has; returns the exit code."""
        self.terminate()
        return self.wait()

    def freeze(self) -> None:
        """Makes it do nothing more, though its connections stay (SIGSTOP); `kill` still works."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Makes it go on after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once (SIGKILL), if it still runs."""
        self._process.kill()
        self.wait()

    def kill_supervisor(self) -> None:
        """Ends the process that was started (SIGKILL), and leaves its workers alone."""
        self._process.kill()
        self._process.wait(WAIT_SECONDS)

    def has_ended(self) -> bool:
        """Whether its process and all of its workers have ended, which hold its output."""
        with self._news:
            return self._ended

    def wait(self) -> int:
        """Waits until it has ended; returns the exit code."""
        code = self._process.wait(WAIT_SECONDS)
        self._watchdog.cancel()
        self._reader.join(WAIT_SECONDS)
        return code

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def record(self, line: str) -> None:
        """Keeps a line of the log."""
        self.log.append(line)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event, oldest first."""
        # Most lines of a long log are of other events, and parsing them takes long.
        parsed = (json.loads(line) for line in list(self.log) if f'"event": "{name}"' in line)
        return [line for line in parsed if line["event"] == name]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Waits for the nth line of an event and returns it.

        Raises:
            AssertionError: the server ended, or too much time went by, without it.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._ended or len(self.events(event)) >= times, WAIT_SECONDS
            )
            found = self.events(event)
        if len(found) < times:
            tail = "\n".join(self.log[-50:])
            raise AssertionError(f"the server's log has no {event!r} number {times}:\n{tail}")
        return found[times - 1]

    def wait_for_exactly(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Waits for the nth line of an event and returns all of them.

        Raises:
            AssertionError: as `wait_for` raises it, or there are more lines.
        """
        self.wait_for(event, times)
        found = self.events(event)
        assert times == len(found)
        return found

    def _read(self) -> None:
        with self._output as lines:
            for line in lines:
                with self._news:
                    self.record(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
