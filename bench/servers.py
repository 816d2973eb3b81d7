"""The servers that benchmarks measure, as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def akin_server(**settings: str) -> Iterator[tuple[str, int]]:
    """Runs Akin on a free port with an empty folder; yields its address and process id."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        log = stack.enter_context(Path(folder, "log").open("wb+"))
        env = {**os.environ, "AKIN_LISTEN": "127.0.0.1:0", "AKIN_DATA_DIR": folder, **settings}
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "service", "serve"], env=env, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "serving":
                break
        # The log goes where a container's would: somewhere that takes it in.
        stack.callback(subprocess.Popen(["cat"], stdin=process.stdout, stdout=log).wait)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield event["address"], process.pid
