"""PostgreSQL servers from the packages of the system, each with a fresh cluster."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from support.waiting import until

WAIT_SECONDS = 30.0

HOST = "127.0.0.1"
DEFAULT_PORT = 5432

# The user that PostgreSQL runs as where the tests run as root, which it refuses.
USER = "postgres"

# Tests need no data after a loss of power.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "512MB",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """A server with a cluster of its own, which ends with the thread that started it.

    It listens on a Unix socket in its folder, and with a port also on the loopback interface.

    Args:
        settings: settings of the server.
        port: 0 for none.
        source: connection string of a primary, whose standby the server becomes.
    """

    def __init__(self, settings: Mapping[str, str], *, port: int = 0, source: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="akin-postgres-"))
        self.port = port or DEFAULT_PORT
        self._settings = {**SETTINGS, "port": str(self.port), **settings}
        if port:
            self._settings["listen_addresses"] = HOST
        _give_away(self.folder)
        if source:
            self._run("pg_basebackup", "-D", self._data, "-d", source, "-c", "fast", "-R", "-N")
        else:
            self._run("initdb", "-D", self._data, "-U", "akin", "-A", "trust", "-E", "UTF8", "-N")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def address(self, database: str = "postgres") -> str:
        """The address of a database, as AKIN_STORE takes it."""
        return f"postgresql://akin@/{database}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        words = ["postgres", "-D", self._data, "-k", str(self.folder), *options]
        self._process = subprocess.Popen(
            _as_user(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        place = ["-h", str(self.folder), "-p", str(self.port)]
        while self._run("pg_isready", "-q", *place, check=False):
            assert self._process.poll() is None

    def stop(self) -> None:
        """End the server at once, and remove its cluster."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server without a shutdown (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(WAIT_SECONDS)
            self._process = None

    def crash(self) -> None:
        """End all processes of the server at once (SIGKILL)."""
        assert self._process is not None
        main = Path(f"/proc/{self._process.pid}/task/{self._process.pid}")
        children = list(map(int, (main / "children").read_text().split()))
        self._process.kill()
        self._process.wait(WAIT_SECONDS)
        self._process = None
        for child in children:
            with suppress(ProcessLookupError):  # it has noticed the death of its parent
                os.kill(child, signal.SIGKILL)
        # The next server does not start while one of them still has the shared memory.
        until(lambda: not any(map(_is_alive, children)))

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement, and return its rows."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, *words: str, check: bool = True) -> int:
        return subprocess.run(
            _as_user(*words), check=check, stdout=subprocess.DEVNULL, timeout=WAIT_SECONDS
        ).returncode


@cache
def find_programs() -> Path:
    """The folder of the newest version's programs."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    versions = sorted(folders, key=lambda path: int(path.parent.name))
    assert versions, "PostgreSQL is not installed: apt-get install postgresql"
    return versions[-1]


def _is_alive(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _as_user(program: str, *words: str) -> list[str]:
    """A command line that ends with this process, as a user that PostgreSQL accepts."""
    command = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        command += ["--reuid", USER, "--regid", USER, "--clear-groups"]
    return [*command, str(find_programs() / program), *words]


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(folder, user.pw_uid, user.pw_gid)


@cache
def shared_server() -> PostgresServer:
    """A server for all tests of this process."""
    return PostgresServer(FAST)


def stop_shared_server() -> None:
    """End the server for all tests, if there is one."""
    if shared_server.cache_info().currsize:
        shared_server().stop()


@cache
def database_of(folder: Path) -> str:
    """The address of the database that stands for a folder, created on first use."""
    name = f"akin_{sha256(bytes(folder.resolve())).hexdigest()[:16]}"
    shared_server().execute(f"CREATE DATABASE {name}")
    return shared_server().address(name)


def query_database(folder: Path, statement: str) -> list[Any]:
    """Run a statement in the database that stands for a folder, and return its rows."""
    with psycopg.connect(database_of(folder), autocommit=True) as connection:
        connection.execute("SET search_path = akin")
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
