"""Server process that runs only while a command needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.cli import console

# Settings of the user's own server that must not apply to one that only this command calls.
UNSET_SETTINGS = (
    "store",
    "metrics_listen",
    "http_listen",
    "console_listen",
    "health_listen",
    "api_keys",
    "tls_certificate",
    "tls_key",
    "tls_client_authority",
)


@contextmanager
def run_temporary_server(folder: str, **settings: str) -> Iterator[str]:
    """Run `akin serve` on a free port with its data in `folder` and yield its address.

    Exits with status 1 if the server does not start.

    Args:
        folder: data folder.
        settings: settings by lower-case name without prefix; they override the environment.
    """
    values = {
        **dict.fromkeys(UNSET_SETTINGS, ""),
        "listen": "127.0.0.1:0",
        "data_dir": folder,
        "log_level": "info",
        "workers": "1",
        **settings,
    }
    environment = {
        **os.environ,
        **{f"AKIN_{name.upper()}": value for name, value in values.items()},
    }
    command = [sys.executable, "-m", "service", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)  # noqa: S603
    try:
        address = _wait_for_address(process)
        if address is None:
            console.exit_with_error("the server did not start")
        # The server blocks on its log unless somebody reads it.
        threading.Thread(target=process.communicate, daemon=True).start()
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for_address(process: subprocess.Popen[bytes]) -> str | None:
    """Read the server's log until it serves; return None if the server ends before that."""
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "serving":
            return str(event["address"])
    return None
