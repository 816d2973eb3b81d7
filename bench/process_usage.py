"""What a server takes: memory, threads and open files of its processes, and its disk space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

MIB = 1024 * 1024
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Usage:
    """What a server takes at one time; memory and disk space in MiB.

    Attributes:
        rss: resident memory of all processes, pages of mapped files included.
        anonymous: resident memory without pages of files.
        threads: threads of all processes.
        files: open file descriptors of all processes.
        disk: all files of the data folder.
        database: the database file.
        wal: the write-ahead log of the database.
        index: the snapshots of indexes.
        folders: files and folders in the data folder.
    """

    rss: float
    anonymous: float
    threads: float
    files: float
    disk: float
    database: float
    wal: float
    index: float
    folders: float


NAMES = tuple(field.name for field in fields(Usage))


def measure(process_id: int, folder: Path) -> Usage:
    """Return what a process with its descendants and a data folder take now."""
    processes = list(_find_processes(process_id))
    statuses = [(path / "status").read_text() for path in processes]
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}

    def count_mib(pattern: str) -> float:
        return sum(size for path, size in sizes.items() if path.match(pattern)) / MIB

    return Usage(
        rss=sum(_read_kb(status, "VmRSS") for status in statuses) / 1024,
        anonymous=sum(_read_kb(status, "RssAnon") for status in statuses) / 1024,
        threads=sum(_read_kb(status, "Threads") for status in statuses),
        files=sum(len(list((path / "fd").iterdir())) for path in processes),
        disk=sum(sizes.values()) / MIB,
        database=count_mib("*.sqlite3"),
        wal=count_mib("*-wal"),
        index=sum(size for path, size in sizes.items() if "index" in path.parts) / MIB,
        folders=len(list(folder.rglob("*"))),
    )


def _find_processes(process_id: int) -> Iterator[Path]:
    path = Path(f"/proc/{process_id}")
    yield path
    for children in path.glob("task/*/children"):
        for child in children.read_text().split():
            yield from _find_processes(int(child))


def _read_kb(status: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert match is not None
    return int(match[1])


def compute_medians(usages: list[Usage]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median(getattr(usage, name) for usage in usages) for name in NAMES}


def draw(values: list[float], width: int = 60) -> str:
    """Return values as a line of bars, from the least to the greatest."""
    step = max(1, -(-len(values) // width))
    means = [
        sum(part) / len(part)
        for part in (values[start : start + step] for start in range(0, len(values), step))
    ]
    low, high = min(means), max(means)
    height = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * height)] for value in means)
