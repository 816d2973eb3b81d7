"""The processes in which servers train."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def find_trainings(server_ids: Collection[int]) -> list[int]:
    """Return the ids of the processes in which servers train.

    Args:
        server_ids: the process ids of servers that are alone, or of workers.
    """
    trainings = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # no process, or it has just ended
            process_id = int(folder.name)
            is_child = int(_read_status(process_id)[1]) in server_ids
            if is_child and "spawn_main" in (folder / "cmdline").read_text():
                trainings.append(process_id)
    return trainings


def is_running(process_id: int) -> bool:
    """Return whether a process runs; one that has ended can wait for its parent, as a zombie."""
    try:
        return _read_status(process_id)[0] != "Z"
    except FileNotFoundError:
        return False


def _read_status(process_id: int) -> list[str]:
    """Return the state, the parent, and further fields of a process."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
