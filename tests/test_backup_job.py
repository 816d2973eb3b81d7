"""The script of the chart's backups."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from support.server import WAIT_SECONDS

SCRIPT = Path(__file__).resolve().parents[1] / "deploy/helm/akin/files/backup.sh"

# A password with characters that have a meaning in addresses, in shells and in patterns.
ODD_TEXT = r"""p@ss/w%rd:?&=\x41 'q"ü#$HOME`id`*"""


class Programs:
    """Stand-ins for PostgreSQL's programs, in a folder for the PATH."""

    def __init__(self, folder: Path, *, dump_status: int, list_status: int) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        file = """for word; do case $word in --file=*) echo data >"${word#--file=}";; esac; done"""
        words = f"""printf '%s\\n' "$PGPASSWORD" "$@" >{self.folder}/words"""
        self._write("pg_dump", f"{file}\n{words}\nexit {dump_status}")
        self._write("pg_restore", f"exit {list_status}")

    def read_call(self) -> tuple[str, list[str]]:
        """The variable PGPASSWORD and the command line of the last pg_dump."""
        password, *words = (self.folder / "words").read_text().splitlines()
        return password, words

    def _write(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)


def back_up(programs: Programs, folder: Path, address: str, password: str = "") -> int:
    """Run the script, and return its status."""
    return subprocess.run(
        ["/bin/bash", SCRIPT],
        env={
            "PATH": f"{programs.folder}:{os.environ['PATH']}",
            "AKIN_STORE": address,
            "PGPASSWORD": password,
            "BACKUP_DIR": str(folder),
            "RETAINED_BACKUPS": "2",
        },
        timeout=WAIT_SECONDS,
        check=False,
    ).returncode


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
    status = back_up(programs, folder, "postgresql://akin@db/akin")
    assert (status == 0) == (dump_status == list_status == 0)
    assert (folder / "of others").exists()
    dumps = {path.name for path in folder.glob("*.dump")}
    assert expected == sorted(name if name in before else "new" for name in dumps)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            f"postgresql://akin:{quote(ODD_TEXT, safe='')}@db-1,db-2/akin?a=b",
            "//akin@db-1,db-2/akin?a=b",
        ),
        (f"postgres://akin@db/akin?password={quote(ODD_TEXT, safe='')}&a=b", "//akin@db/akin?a=b"),
        (f"postgres://akin@db/akin?a=b&password={quote(ODD_TEXT, safe='')}", "//akin@db/akin?a=b&"),
        ("postgresql://akin@[::1]:5432/akin", "//akin@[::1]:5432/akin"),
    ],
)
def test_no_command_line_has_the_password(tmp_path: Path, address: str, expected: str) -> None:
    """A password of the address reaches pg_dump as a variable, as one that is a variable does."""
    programs = Programs(tmp_path, dump_status=0, list_status=0)
    given = ODD_TEXT if address.endswith(expected) else ""
    assert 0 == back_up(programs, tmp_path, address, given)
    password, words = programs.read_call()
    assert ODD_TEXT == password
    scheme = address.partition(":")[0]
    assert f"--dbname={scheme}:{expected}" in words
