"""A process that has imported the `akin` command, and forks a process for each command line.

Python and its imports take a second of processor time at the start of each command, which is four
fifths of what the start of a server takes. A forked process has them already. It is a process of
its own otherwise: it has the arguments, environment, working folder and streams that a new one
would have, and runs the module `service` as `python -m service` does.

`support.processes` runs this file as a script. Its argument is the number of a socket, and each
message on it is a request: JSON, and the file descriptors of standard input, output and error and
of a pipe. The pipe receives the process id, and the exit status once the process has ended.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# What the command imports, at the start or later. None starts a thread, which a fork would lose.
MODULES = (
    "model2vec.persistence",
    "service.cli.main",
    "service.server.app",
    "service.server.wiring",
    "service.server.workers",
    "service.telemetry.logging",
    "uvloop",
)

MESSAGE_BYTES = 128 * 1024
NUMBER = struct.Struct("i")
DESCRIPTORS = 4


@dataclass(frozen=True, slots=True)
class Request:
    """A process to fork.

    Attributes:
        process: its `words`, `environment`, `folder` and whether it `starts_session`.
        streams: the file descriptors of its standard streams.
        pipe: the file descriptor that receives numbers.
    """

    process: Mapping[str, Any]
    streams: Sequence[int]
    pipe: int

    def close(self) -> None:
        """Close the file descriptors."""
        for number in (*self.streams, self.pipe):
            os.close(number)


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was forked: its id, its pipe, and a descriptor that is readable at its end."""

    process_id: int
    end: int
    pipe: int

    def close(self) -> None:
        """Close the file descriptors."""
        os.close(self.end)
        os.close(self.pipe)


def main(number: int) -> None:
    """Fork processes until the other end of the socket is closed."""
    for name in MODULES:
        import_module(name)
    # Loads the model, which takes two thirds of what is left of a start.
    import_module("service.embedding.local").read_vocabulary()
    gc.freeze()  # so that collections in the processes leave the pages of these objects shared
    children: dict[int, Child] = {}
    with socket.socket(fileno=number) as control, selectors.DefaultSelector() as selector:
        request = fork_for_requests(control, selector, children)
    for child in children.values():
        child.close()
        if request is None:
            with suppress(ProcessLookupError):
                os.kill(child.process_id, signal.SIGKILL)
    if request is not None:
        run(request)


def fork_for_requests(
    control: socket.socket, selector: selectors.BaseSelector, children: dict[int, Child]
) -> Request | None:
    """Fork a process for each request; return its request in each, and None in this one."""
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _events in selector.select():
            if key.fileobj is not control:
                selector.unregister(key.fileobj)
                report_end(children.pop(key.fd))
                continue
            request = receive(control)
            if request is None:
                return None
            process_id = os.fork()
            if process_id == 0:
                return request
            end = os.pidfd_open(process_id)
            children[end] = Child(process_id, end, os.dup(request.pipe))
            selector.register(end, selectors.EVENT_READ)
            request.close()


def receive(control: socket.socket) -> Request | None:
    """Return the next request; None after the last one."""
    message, descriptors, _flags, _address = socket.recv_fds(control, MESSAGE_BYTES, DESCRIPTORS)
    if not message:
        return None
    *streams, pipe = descriptors
    return Request(json.loads(message), streams, pipe)


def report_end(child: Child) -> None:
    """Send the exit status of a process that has ended, which is negative after a signal."""
    _process_id, status = os.waitpid(child.process_id, 0)
    with suppress(BrokenPipeError):
        os.write(child.pipe, NUMBER.pack(os.waitstatus_to_exitcode(status)))
    child.close()


def run(request: Request) -> None:
    """Run the command in this process, which has been forked for it."""
    process = request.process
    if process["starts_session"]:
        os.setsid()
    os.write(request.pipe, NUMBER.pack(os.getpid()))
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
    request.close()
    open_streams()
    os.chdir(process["folder"])
    os.environ.clear()
    os.environ.update(process["environment"])
    sys.path.insert(0, process["folder"])  # as the option -m does
    sys.argv = ["akin", *process["words"]]
    runpy.run_module("service", run_name="__main__", alter_sys=True)


def open_streams() -> None:
    """Replace the standard streams of Python, whose buffering depends on what they write to."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        before = getattr(sys, name)
        stream = os.fdopen(
            number,
            mode,
            1 if name == "stderr" else -1,
            encoding=before.encoding,
            errors=before.errors,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main(int(sys.argv[1]))
