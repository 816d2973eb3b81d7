"""The servers that benchmarks measure, as real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple


class Server(NamedTuple):
    """A running server; how long it took from reading its data to serving."""

    address: str
    process_id: int
    seconds_to_serve: float
    console_address: str


@contextmanager
def akin_server(folder: Path | None = None, **settings: str) -> Iterator[Server]:
    """Runs Akin on a free port with its data in a folder, by default an empty one."""
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((own / "log").open("wb+"))
        env = {
            **os.environ,
            "AKIN_LISTEN": "127.0.0.1:0",
            "AKIN_DATA_DIR": str(folder or own),
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "service", "serve"], env=env, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        console_address = ""
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "console_listening":
                console_address = event["address"]
            if event["event"] == "serving":
                break
        # The log goes where a container's would: somewhere that takes it in.
        stack.callback(subprocess.Popen(["cat"], stdin=process.stdout, stdout=log).wait)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield Server(event["address"], process.pid, event["seconds"], console_address)


def resident_bytes(process_id: int) -> int:
    """What a process has in memory, pages of mapped files included."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
