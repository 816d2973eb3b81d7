"""The script of the chart's backups."""

import os
import subprocess
from pathlib import Path

import pytest
from support.server import WAIT_SECONDS

SCRIPT = Path(__file__).resolve().parents[1] / "deploy/helm/akin/files/backup.sh"


class Programs:
    """Stand-ins for PostgreSQL's programs, in a folder for the PATH."""

    def __init__(self, folder: Path, *, dump_status: int, list_status: int) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        file = """for word; do case $word in --file=*) echo data >"${word#--file=}";; esac; done"""
        self._write("pg_dump", f"{file}\nexit {dump_status}")
        self._write("pg_restore", f"exit {list_status}")

    def _write(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)


@pytest.mark.parametrize(
    ("dump_status", "list_status", "expected"),
    [
        (0, 0, ["akin-20260103T000000Z.dump", "new"]),
        (1, 0, ["akin-20260101T000000Z.dump", "akin-20260103T000000Z.dump"]),
        (0, 1, ["akin-20260101T000000Z.dump", "akin-20260103T000000Z.dump"]),
    ],
)
def test_a_backup_replaces_only_older_ones(
    tmp_path: Path, dump_status: int, list_status: int, expected: list[str]
) -> None:
    """A complete dump replaces the oldest one; a failed or a damaged one removes nothing."""
    folder = tmp_path / "backups"
    folder.mkdir()
    before = ["akin-20260101T000000Z.dump", "akin-20260103T000000Z.dump"]
    for name in (*before, "akin-20260102T000000Z.dump.partial", "of others"):
        (folder / name).touch()
    programs = Programs(tmp_path, dump_status=dump_status, list_status=list_status)
    result = subprocess.run(
        ["/bin/sh", SCRIPT],
        env={
            "PATH": f"{programs.folder}:{os.environ['PATH']}",
            "AKIN_STORE": "postgresql://akin@db/akin",
            "BACKUP_DIR": str(folder),
            "RETAINED_BACKUPS": "2",
        },
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (result.returncode == 0) == (dump_status == list_status == 0)
    assert (folder / "of others").exists()
    dumps = {path.name for path in folder.glob("*.dump")}
    assert expected == sorted(name if name in before else "new" for name in dumps)
