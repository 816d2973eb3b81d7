"""The real `akin` command as a process, on a terminal or not."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from support import processes
from support.processes import AKIN
from support.server import WAIT_SECONDS, environment


class Ended(NamedTuple):
    """A command that has ended."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def error_lines(self) -> list[str]:
        """The lines of standard error."""
        return self.stderr.decode(errors="replace").splitlines()


def run(
    *words: str | Path,
    folder: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    script: str = "",
    prefix: tuple[str, ...] = (),
    seconds: float = WAIT_SECONDS,
) -> Ended:
    """Run a command without a terminal and wait for its end.

    Args:
        words: the command line after `akin`.
        folder: the working folder; the data folder is `data` in it.
        variables: environment variables.
        script: a shell script that runs the command, "$@", with redirections such as `>&-`.
        prefix: a program that runs the command, with its arguments.
        seconds: how long the command may take.
    """
    variables = {**environment(folder), **variables}
    if not script and not prefix:
        return Ended(
            *processes.run(
                [*map(str, words)], folder=folder, environment=variables, seconds=seconds
            )
        )
    command = [*prefix, *AKIN, *map(str, words)]
    if script:
        command = ["bash", "-c", script, "bash", *command]
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_on_terminal(
    *words: str | Path,
    folder: Path,
    keys: str = "",
    watch: Callable[[bytes, subprocess.Popen[bytes]], None] | None = None,
    **variables: str,
) -> tuple[int, bytes]:
    """Run a command on a terminal; return its status and all that the terminal received.

    Args:
        words: the command line after `akin`.
        folder: the working folder.
        keys: what a person types, which waits in the terminal until the command reads it.
            Surrogates stand for bytes that are not UTF-8, as in file names.
        watch: is called with all that the terminal has received, whenever it receives more, and
            with the process.
        variables: environment variables.
    """
    main, terminal = pty.openpty()
    os.write(main, keys.encode(errors="surrogateescape"))
    received: list[bytes] = []

    def read() -> None:
        while True:
            try:
                received.append(os.read(main, 65_536))
            except OSError:  # the last process has closed the terminal
                return
            if watch is not None:
                watch(b"".join(received), process)

    process = subprocess.Popen(
        [*AKIN, *map(str, words)],
        cwd=folder,
        env={**environment(folder), "TERM": "xterm", **variables},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        status = process.wait(WAIT_SECONDS)
    finally:
        process.kill()
        reader.join(WAIT_SECONDS)
        os.close(main)
    return status, b"".join(received)
