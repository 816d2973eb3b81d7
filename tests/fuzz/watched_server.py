"""A server whose log is searched for what must not be there, and whose memory is measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support.security import entry, write_keys
from support.server import RunningServer

from fuzz.calls import KEY
from fuzz.vocabulary import MARKER

# A long fuzz ends before this at the latest.
LIFE_SECONDS = 4 * 3600.0


class WatchedServer(RunningServer):
    """A server with a provider and API keys; `log` has only the lines that are not of calls.

    Attributes:
        log_problems: the lines that must not be in a log.
    """

    life_seconds = LIFE_SECONDS

    def __init__(self, folder: Path, provider_url: str, workers: int) -> None:
        self.log_problems: list[str] = []
        keys = folder / "keys.json"
        write_keys(keys, entry(KEY.removesuffix("-key"), "read", "write", "admin"))
        super().__init__(
            folder,
            API_KEYS=str(keys),
            EMBEDDER="openai",
            EMBEDDING_BASE_URL=provider_url,
            EMBEDDING_MODEL="scripted",
            WORKERS=str(workers),
            LOG_LEVEL="debug",
        )

    def record(self, line: str) -> None:
        """Search a line of the log, and keep it unless it is of a call."""
        problem = _find_problem(line)
        if problem is not None:
            self.log_problems.append(f"{problem}: {line}")
        if '"event": "call"' not in line:
            super().record(line)

    def resident_bytes(self) -> int:
        """Return the memory of the server and its children."""
        return sum(map(_resident_bytes, _find_processes(self.process_id)))


def _find_problem(line: str) -> str | None:
    if MARKER in line:
        return "the log contains a caller's text"
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return "the log has a line that is not JSON"
    if event["event"] == "call_failed" or event.get("level") in ("error", "critical"):
        return "the log reports a fault of the server"
    return None


def _find_processes(process_id: int) -> list[int]:
    """Return a process and all its descendants."""
    children: list[int] = []
    for path in Path(f"/proc/{process_id}/task").glob("*/children"):
        children += map(int, path.read_text().split())
    return [process_id, *(found for child in children for found in _find_processes(child))]


def _resident_bytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match is not None else 0
