from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults import shim
from faults.clock import make_clock
from faults.disk import Disk, Survival
from faults.journal import Kind, read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(shim.find_problem()), reason=shim.find_problem() or "unused"),
]

PROGRAM_SECONDS = 60

# Writes and renames in each of the ways that the server's libraries use.
PROGRAM = """
import faiss, json, os, shutil, sqlite3, sys
import numpy as np

os.chdir(sys.argv[1])
os.mkdir("folder")
with open("plain", "wb") as file:
    file.write(b"x" * 5000)
    file.flush()
    os.fsync(file.fileno())
with open("plain", "ab") as file:
    file.write(b"appended")
fd = os.open("folder/positions", os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(fd, b"second", 600)
os.pwritev(fd, [b"fi", b"rst"], 0)
os.writev(fd, [b"th", b"ird"])
os.ftruncate(fd, 603)
os.close(fd)
np.savez("arrays.npz", numbers=np.arange(1000))
np.arange(100).tofile("numbers")
index = faiss.IndexFlatIP(8)
index.add(np.ones((50, 8), "float32"))
faiss.write_index(index, "index")
shutil.copyfile("plain", "copy")
os.rename("copy", "renamed")
os.replace("renamed", "folder/moved")
os.link("plain", "linked")
os.mkdir("removed")
open("removed/file", "w").close()
shutil.rmtree("removed")
connection = sqlite3.connect("database")
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE numbers (number)")
for number in range(2000):
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))
connection.commit()
other = sqlite3.connect("database")
other.execute("DELETE FROM numbers WHERE number > 1000")
other.commit()
os._exit(0)
"""

# Syncs the first file with its folder, and not the second one.
HALF_SYNCED = """
import os, sys

os.chdir(sys.argv[1])
for name in ("synced", "unsynced"):
    with open(name, "w") as file:
        file.write("data")
        file.flush()
        if name == "synced":
            os.fsync(file.fileno())
            folder = os.open(".", os.O_RDONLY)
            os.fsync(folder)
"""


def run(program: str, tmp_path: Path, *, syncs: bool = True) -> tuple[Path, Path, Disk]:
    """Runs a program under the journal; returns its folder, the journal and the disk before it."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    journal = tmp_path / "journal"
    disk = Disk(root, is_ordered=False)
    library = shim.compile_shim("journal", tmp_path)
    variables = shim.make_journal_variables(library, root, journal, syncs=syncs)
    subprocess.run(
        [sys.executable, "-c", program, str(root)],
        env={**os.environ, **variables},
        check=True,
        timeout=PROGRAM_SECONDS,
    )
    for record in read_journal(journal):
        disk.apply(record)
    return root, journal, disk


def test_the_journal_explains_every_file(tmp_path: Path) -> None:
    """The journal of all kinds of writes, applied to the folder before, gives the folder after."""
    root, _, disk = run(PROGRAM, tmp_path)
    assert {
        path: path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if path.name != "database-shm"
    } == disk.list_contents()


@pytest.mark.parametrize(("syncs", "expected"), [(True, {"synced"}), (False, set())])
def test_only_synced_files_survive(tmp_path: Path, syncs: bool, expected: set[str]) -> None:
    """After a power cut the synced file is there, and with syncs switched off none is."""
    _, journal, disk = run(HALF_SYNCED, tmp_path, syncs=syncs)
    target = tmp_path / "survivors"
    target.mkdir()
    disk.cut_power(Survival.NOTHING, random.Random(0), target)
    assert expected == {path.name for path in target.iterdir()}
    kinds = {record.kind for record in read_journal(journal)}
    assert syncs == ({Kind.SYNC_BEGIN, Kind.SYNC_END} <= kinds)


def test_other_folders_leave_no_record(tmp_path: Path) -> None:
    """What happens outside of the root is not journaled."""
    _, journal, _ = run("open('/tmp/' + str(__import__('os').getpid()), 'w').close()", tmp_path)
    assert [] == list(read_journal(journal))


def test_the_clock_moves_while_a_program_runs(tmp_path: Path) -> None:
    """A program sees the moved wall clock at once, and its monotonic clock stays."""
    clock = make_clock(tmp_path)
    program = "import time\nwhile input():\n    print(time.time(), time.monotonic(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **clock.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (0, 86_400, -3 * 86_400):
            clock.jump(seconds)
            process.stdin.write("read\n")
            process.stdin.flush()
            wall, monotonic = map(float, process.stdout.readline().split())
            assert clock.read() == pytest.approx(wall, abs=PROGRAM_SECONDS)
            assert time.monotonic() == pytest.approx(monotonic, abs=PROGRAM_SECONDS)
        process.stdin.write("\n")
        process.stdin.close()
