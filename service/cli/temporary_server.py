"""A server of a command's own, for as long as the command needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def temporary_server(folder: str, **settings: str) -> Iterator[str]:
    """Runs `akin serve` on a free port with its data in `folder` and yields its address.

    Settings go by their names in lower case without the prefix, and stand above the environment's.
    """
    chosen = {"listen": "127.0.0.1:0", "data_dir": folder, "log_level": "info"}
    # Nobody but this command calls it.
    chosen |= dict.fromkeys(
        ("metrics_listen", "health_listen", "api_keys", "tls_certificate", "tls_key"), ""
    )
    chosen |= {"tls_client_authority": "", "workers": "1", **settings}
    own = {f"AKIN_{name.upper()}": value for name, value in chosen.items()}
    command = [sys.executable, "-m", "service", "serve"]
    process = subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE)  # noqa: S603
    try:
        address = _address(process)
        if address is None:
            typer.echo("akin: the server did not start", err=True)
            raise typer.Exit(1)
        # Its log must go somewhere, or the server would wait for a reader.
        threading.Thread(target=process.communicate, daemon=True).start()
        yield address
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes]) -> str | None:
    """Reads the server's log until it serves; None if it ends before."""
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "serving":
            return str(event["address"])
    return None
