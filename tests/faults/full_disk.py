"""A full disk: a small file system, or a limit on the size of files."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.disturbances import STATES_BETWEEN
from faults.session import Session
from faults.tally import Tally

SIZE_BYTES = 48 * 1024 * 1024

# The server's log goes to a file too, which the limit must not reach.
LIMIT_BYTES_BEYOND_LOG = 1024 * 1024

REFUSALS = 20
REFUSAL_SECONDS = 20.0


@contextmanager
def mount_small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system on an empty folder; yield False if that is not possible."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)]
    is_mounted = (
        mount is not None
        and os.geteuid() == 0
        and subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run([shutil.which("umount") or "umount", "-l", str(folder)], check=True)


def fill_disk(session: Session, rng: random.Random, tally: Tally, *, is_mounted: bool) -> None:
    """Fill the disk until writes fail, and free it; in half of the cases kill the server first."""
    tally.full_disks += 1
    _fill(session, is_mounted=is_mounted)
    session.recorder.wait_for_refusals(REFUSALS, REFUSAL_SECONDS)
    is_killed = rng.random() < 0.5
    if is_killed:
        tally.kills += 1
        session.server.signal_group(signal.SIGKILL)
        session.stop_writers()
        session.server.kill()
    _free(session, is_mounted=is_mounted, is_killed=is_killed)
    if is_killed:
        session.start_server()
    else:
        session.write_more(STATES_BETWEEN)


def _fill(session: Session, *, is_mounted: bool) -> None:
    if not is_mounted:
        log_bytes = session.server.log_path.stat().st_size
        session.server.limit_files(log_bytes + LIMIT_BYTES_BEYOND_LOG)
        return
    block = bytes(1024 * 1024)
    with _ballast(session).open("ab", buffering=0) as ballast:
        while len(block) > 0:
            try:
                ballast.write(block)
            except OSError:
                block = block[: len(block) // 2]


def _free(session: Session, *, is_mounted: bool, is_killed: bool) -> None:
    if is_mounted:
        _ballast(session).unlink()
    elif not is_killed:
        session.server.limit_files(resource.RLIM_INFINITY)


def _ballast(session: Session) -> Path:
    return session.folder / "ballast"
