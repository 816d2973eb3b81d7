"""Starts `akin` commands as processes, forked from one that has imported them where possible."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

from support import preloaded

AKIN = (sys.executable, "-m", "service")

# Variables that the command reads when it runs. Imports may have read any other one already.
_OWN_PREFIXES = ("AKIN_", "OPENROUTER_", "SSL_CERT_", "PYTEST_")


class Process(Protocol):
    """What tests do with a process, as with a `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """Return its exit status, which is negative after a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status.

        Raises:
            TimeoutExpired: it has not ended after that many seconds.
        """

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""


def start(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: int,
    errors: int,
    starts_session: bool = False,
) -> Process:
    """Start a command.

    Args:
        words: the command line after `akin`.
        folder: the working folder.
        environment: all environment variables.
        output: the file descriptor of standard output, which stays open here.
        errors: that of standard error.
        starts_session: whether the process leads a session of its own.
    """
    template = _start_template()
    # What the command has imported has looked at the streams, which were no terminals.
    if template.suits(environment) and not os.isatty(output) and not os.isatty(errors):
        process = {
            "words": words,
            "folder": str(folder),
            "environment": environment,
            "starts_session": starts_session,
        }
        return template.fork(json.dumps(process).encode(), output, errors)
    return subprocess.Popen(
        [*AKIN, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=starts_session,
    )


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], seconds: float
) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return its exit status, and what it wrote to its streams.

    Raises:
        TimeoutExpired: it has not ended after that many seconds.
    """
    (output_read, output), (errors_read, errors) = os.pipe(), os.pipe()
    with ThreadPoolExecutor(2) as readers, os.fdopen(output_read, "rb") as output_file:
        with os.fdopen(errors_read, "rb") as errors_file:
            try:
                process = start(
                    words, folder=folder, environment=environment, output=output, errors=errors
                )
            finally:
                os.close(output)
                os.close(errors)
            contents = [readers.submit(file.read) for file in (output_file, errors_file)]
            try:
                status = process.wait(seconds)
            finally:
                process.kill()
                process.wait()
            return status, contents[0].result(), contents[1].result()


class _Template:
    """The process that forks the others; it ends with this one, and ends them too."""

    def __init__(self) -> None:
        self._variables = _select_others(os.environ)
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            self._process = subprocess.Popen(
                [sys.executable, "-P", preloaded.__file__, str(control.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[control.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Return whether a process with this environment may be forked."""
        return self._variables == _select_others(environment)

    def fork(self, request: bytes, output: int, errors: int) -> Process:
        """Start a process."""
        receiver, sender = os.pipe()
        try:
            with open(os.devnull) as null:  # noqa: PTH123  (os.devnull is a name)
                streams = [null.fileno(), output, errors, sender]
                socket.send_fds(self._control, [request], streams)
        finally:
            os.close(sender)
        return _ForkedProcess(receiver)

    def close(self) -> None:
        """End it and all that it has forked."""
        self._control.close()
        self._process.wait()


@cache
def _start_template() -> _Template:
    return _Template()


def _select_others(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that what the command imports may have read."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OWN_PREFIXES) and not name.lower().endswith("_proxy")
    }


class _ForkedProcess:
    """A process whose parent is the template, from which its exit status arrives in a pipe."""

    def __init__(self, receiver: int) -> None:
        self._receiver = receiver
        self._status: int | None = None
        self._lock = threading.Lock()
        self.pid = self._read()

    def __del__(self) -> None:
        os.close(self._receiver)

    def poll(self) -> int | None:
        """Return its exit status, which is negative after a signal; None while it runs."""
        with self._lock:
            if self._status is None and self._has_news(0):
                self._status = self._read()
            return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status.

        Raises:
            TimeoutExpired: it has not ended after that many seconds.
        """
        if self._status is None:
            self._has_news(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(AKIN, timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _has_news(self, seconds: float | None) -> bool:
        """Wait until there is something to read, or the end of the pipe."""
        news = select.poll()
        news.register(self._receiver, select.POLLIN)
        return bool(news.poll(None if seconds is None else 1_000 * seconds))

    def _read(self) -> int:
        """Return the next number.

        Raises:
            AssertionError: the template has ended.
        """
        data = os.read(self._receiver, preloaded.NUMBER.size)
        assert data, "the process that forks others has ended"
        number: int = preloaded.NUMBER.unpack(data)[0]
        return number
