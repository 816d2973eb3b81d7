"""Measures how readable the path of one call is: the files that run, and the returns to a file.

    python tools/trace_call.py [--json]

Starts `akin serve` in this process, with a temporary data folder, a few items and the embedded
model, and calls it over gRPC: UpsertItem with a new text, and RecommendSimilar by item.

The path of a call is the sequence of functions of service/ that run between the request and the
reply, in all threads, in the order of their first call. Each function counts once. Not counted:

- comprehensions, generator expressions and lambdas: they belong to the function around them;
- a coroutine or generator that goes on, such as the loop of the follower: what it calls counts;
- code that belongs to no file, such as the `__init__` of a dataclass;
- log lines: only errors are logged.

The files are the distinct files on that path. A return is an entry into a file that the path had
left: the number of runs of functions in one file, less the number of files.

Each call is made several times and the most frequent path is reported. A background loop that
happens to run during one of them does not change the result.
"""

from __future__ import annotations

import argparse
import dis
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager, redirect_stdout
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import akin
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PACKAGE = "service"
COMMAND = ("akin", "serve")
ITEMS = 8
REPEATS = 5
START_SECONDS = 30.0

Entries = tuple[tuple[str, str], ...]
"""The file and the name of each function on a path."""


class Reading(NamedTuple):
    """What a reader of a path opens: its files in the order of first entry, and the returns."""

    files: tuple[str, ...]
    returns: int


def read(files: Iterable[str]) -> Reading:
    """Reads the sequence of files that a path runs through."""
    runs = [file for file, _ in groupby(files)]
    distinct = tuple(dict.fromkeys(runs))
    return Reading(distinct, len(runs) - len(distinct))


class Recorder:
    """A profile function that records the path of a call through the files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._prefix = f"{folder}/"
        self._recording = False
        self._codes: dict[CodeType, None] = {}

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Records a function's first call."""
        code = frame.f_code
        if (
            self._recording
            and event == "call"
            and code.co_filename.startswith(self._prefix)
            and not code.co_name.startswith("<")
            and frame.f_lasti <= _start(code)
        ):
            self._codes.setdefault(code)

    def record(self, call: Callable[[], object]) -> Entries:
        """Makes a call; returns the path between its request and its reply."""
        self._codes = {}
        self._recording = True
        try:
            call()
        finally:
            self._recording = False
        return tuple(
            (code.co_filename.removeprefix(self._prefix), code.co_qualname) for code in self._codes
        )


@cache
def _start(code: CodeType) -> int:
    """The offset at which a function starts; a coroutine or generator goes on at a later one."""
    return next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")


def trace() -> dict[str, Entries]:
    """Starts the server, makes the calls, and returns the path of each by its name."""
    specification = importlib.util.find_spec(PACKAGE)
    assert specification is not None  # noqa: S101  (it is installed)
    assert specification.origin is not None  # noqa: S101  (it is a package of files)
    recorder = Recorder(Path(specification.origin).parent)
    with _configured() as address, ThreadPoolExecutor(1) as thread:
        # The server needs the main thread for its signals. The thread of the client starts before
        # profiling does, so that only the server is profiled.
        paths = thread.submit(_call, address, recorder)
        threading.setprofile(recorder)
        sys.setprofile(recorder)
        try:
            with redirect_stdout(sys.stderr):
                runpy.run_module(PACKAGE, run_name="__main__")
        except SystemExit as exc:
            if exc.code:
                raise
        finally:
            sys.setprofile(None)
        return paths.result()


@contextmanager
def _configured() -> Iterator[str]:
    """Sets the command and the environment of the server; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for name in tuple(os.environ):
        if name.startswith(("AKIN_", "OPENROUTER_")):
            del os.environ[name]
    # Another working directory: a file .env of the caller has no effect.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ |= {
            "AKIN_LISTEN": address,
            "AKIN_DATA_DIR": f"{folder}/data",
            "AKIN_LOG_LEVEL": "error",
        }
        sys.argv = [*COMMAND]
        yield address


def _call(address: str, recorder: Recorder) -> dict[str, Entries]:
    """Makes the calls once the server is ready, and stops it."""
    try:
        _wait_until_ready(address)
        with akin.Client(address) as client:
            for number in range(ITEMS):
                client.upsert_item(f"item-{number}", f"the small red book number {number}")
            client.recommend_similar(item_id="item-0")
            return {
                "UpsertItem (new text)": _most_frequent(
                    recorder,
                    lambda number: client.upsert_item(f"new-{number}", f"green tree {number}"),
                ),
                "RecommendSimilar (by item)": _most_frequent(
                    recorder, lambda number: client.recommend_similar(item_id=f"item-{number}")
                ),
            }
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_until_ready(address: str) -> None:
    """Waits until the health check of the server says that it serves."""
    request = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its published hints lack Watch
        for reply in stub.Watch(request, timeout=START_SECONDS, wait_for_ready=True):
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return


def _most_frequent(recorder: Recorder, call: Callable[[int], object]) -> Entries:
    paths = Counter(recorder.record(partial(call, number)) for number in range(REPEATS))
    ((path, _),) = paths.most_common(1)
    return path


def main() -> None:
    """Prints the reading of each call."""
    parser = argparse.ArgumentParser(description="Measure how readable the path of a call is.")
    parser.add_argument("--json", action="store_true", help="print JSON, with the whole path")
    as_json = parser.parse_args().json
    paths = trace()
    readings = {call: read(file for file, _ in path) for call, path in paths.items()}
    if as_json:
        report = {
            call: {
                "files": reading.files,
                "file_count": len(reading.files),
                "return_count": reading.returns,
                "path": [f"{file}:{function}" for file, function in paths[call]],
            }
            for call, reading in readings.items()
        }
        print(json.dumps(report, indent=2))
        return
    for call, reading in readings.items():
        print(f"{call}: {len(reading.files)} files, {reading.returns} returns")
        print(*(f"  {file}" for file in reading.files), sep="\n")


if __name__ == "__main__":
    main()
