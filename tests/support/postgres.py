"""PostgreSQL servers from the packages of the system, each with a fresh cluster."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from service.storage.postgres.migrations import migrate_schema, read_migrations
from service.storage.postgres.postgres_connections import complete_address, open_connection
from support.waiting import until

WAIT_SECONDS = 30.0

HOST = "127.0.0.1"
DEFAULT_PORT = 5432

# The user that PostgreSQL runs as where the tests run as root, which it refuses.
USER = "postgres"

# Tests need no data after a loss of power.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Databases of which others are copies.
EMPTY = "template0"
MIGRATED = "akin_migrated"

NEW_IDENTITY = "UPDATE akin.identity SET store_id = replace(gen_random_uuid()::text, '-', '')"

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
        give_away(self.folder)
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
            _write_command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
            _write_command(*words), check=check, stdout=subprocess.DEVNULL, timeout=WAIT_SECONDS
        ).returncode


def set_standby_names(postgres: PostgresServer, names: str) -> None:
    """Set which standbys must confirm a commit, and wait until sessions have read it."""
    postgres.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    postgres.execute("SELECT pg_reload_conf()")
    query = "SHOW synchronous_standby_names"
    until(lambda: [(names,)] == postgres.execute(query))


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


def as_user(*words: str) -> list[str]:
    """A command line that ends with this process, as a user that PostgreSQL accepts."""
    command = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        command += ["--reuid", USER, "--regid", USER, "--clear-groups"]
    return [*command, *words]


def _write_command(program: str, *words: str) -> list[str]:
    """A command line that runs a program of PostgreSQL, and ends with this process."""
    return as_user(str(find_programs() / program), *words)


def give_away(folder: Path) -> None:
    """Make the user that PostgreSQL runs as the owner of a folder."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(folder, user.pw_uid, user.pw_gid)


class SharedServer(PostgresServer):
    """A server for all tests of this process, with a database for each folder.

    Databases are copies of others, as files: a new one takes a tenth of the time otherwise.
    """

    def __init__(self) -> None:
        super().__init__(FAST)
        self._names: set[str] = set()

    def open_empty(self, folder: Path) -> str:
        """The address of a folder's database, created empty on first use."""
        return self._open(folder, EMPTY)

    def open_migrated(self, folder: Path) -> str:
        """The address of a folder's database, created with all tables on first use."""
        if MIGRATED not in self._names:
            self._copy(EMPTY, MIGRATED)
            with closing(open_connection(complete_address(self.address(MIGRATED)))) as connection:
                migrate_schema(connection, read_migrations())
        return self._open(folder, MIGRATED)

    def _open(self, folder: Path, template: str) -> str:
        name = f"akin_{sha256(bytes(folder.resolve())).hexdigest()[:16]}"
        if name not in self._names:
            self._copy(template, name)
            if template == MIGRATED:
                self.execute(NEW_IDENTITY, name)
        return self.address(name)

    def _copy(self, template: str, name: str) -> None:
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        self._names.add(name)


@cache
def shared_server() -> SharedServer:
    """The server for all tests of this process."""
    return SharedServer()


def stop_shared_server() -> None:
    """End the server for all tests, if there is one."""
    if shared_server.cache_info().currsize:
        shared_server().stop()


def database_of(folder: Path) -> str:
    """The address of the database that stands for a folder, created empty on first use."""
    return shared_server().open_empty(folder)


def query_database(folder: Path, statement: str) -> list[Any]:
    """Run a statement in the database that stands for a folder, and return its rows."""
    with psycopg.connect(database_of(folder), autocommit=True) as connection:
        connection.execute("SET search_path = akin")
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
