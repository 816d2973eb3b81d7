"""The scripts that set up the databases of a cluster, run with PostgreSQL of this machine."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from support.postgres import as_user, find_programs, give_away
from support.server import WAIT_SECONDS, free_address
from support.waiting import until

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())["services"]

PASSWORD = "it's not secret"  # noqa: S105


class Databases:
    """A primary and its standby, set up by the scripts that the containers run; a context manager.

    Unlike in the containers, they have ports of their own on one address, and the folder of their
    sockets.
    """

    def __init__(self) -> None:
        self._programs = find_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="akin-databases-"))
        give_away(self.folder)
        for script in (*(DEPLOY / "cluster").glob("*.sh"), DEPLOY / "helm/akin/files/backup.sh"):
            # Others cannot read the folder of the repository.
            shutil.copy(script, self.folder)
            (self.folder / script.name).chmod(0o755)
        self.ports = {name: free_address().rpartition(":")[2] for name in ("primary", "standby")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_primary(self) -> None:
        """Create the primary as its image does: it listens after the script has run."""
        self.run("initdb", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        # The image listens on all addresses, and has its own folder for sockets.
        lines = f"listen_addresses = '127.0.0.1'\nunix_socket_directories = '{self.folder}'"
        self.run("sh", "-c", 'echo "$LINES" >>"$PGDATA/postgresql.conf"', LINES=lines)
        options = "-c listen_addresses="
        self.run("pg_ctl", "start", "--wait", "-o", options, "-l", str(self.folder / "log"))
        self.run(str(self.folder / "primary-init.sh"))
        self.run("pg_ctl", "stop", "--wait", "--mode=fast")
        self._start("primary", *SERVICES["primary"]["command"])

    def start_standby(self) -> None:
        """Start the standby, which copies the primary if it has no data."""
        interpreter, script = SERVICES["standby"]["entrypoint"]
        self._start("standby", interpreter, str(self.folder / script.removeprefix("/")))

    def kill(self, name: str) -> None:
        """End a server without a shutdown."""
        self._processes[name].send_signal(signal.SIGQUIT)
        self._processes.pop(name).wait(WAIT_SECONDS)

    def close(self) -> None:
        """End both servers, and remove their data."""
        for name in list(self._processes):
            self.kill(name)
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        """The URL of the Compose file, with the addresses of these servers."""
        url: str = SERVICES["akin"]["environment"]["AKIN_STORE"]
        for name, port in self.ports.items():
            url = url.replace(name, f"127.0.0.1:{port}")
        return url

    def query(self, *statements: str) -> str:
        """Return what statements print, run by the role of Akin at the server that writes."""
        commands = [f"--command={statement}" for statement in statements]
        return self.run("psql", "--no-psqlrc", "--tuples-only", "--no-align", *commands, self.url)

    def find_standbys(self) -> str:
        """Return the name of each standby of the primary, and whether commits wait for it."""
        columns = "SELECT application_name, sync_state FROM pg_stat_replication"
        return self.run("psql", "--username=postgres", "-At", f"--command={columns}")

    def run(self, *words: str, name: str = "primary", **variables: str) -> str:
        """Return what a command prints that runs beside a server.

        Raises:
            CalledProcessError: it failed.
        """
        return subprocess.run(
            as_user(*words),
            env=self._environment(name) | variables,
            stdout=subprocess.PIPE,
            text=True,
            timeout=WAIT_SECONDS,
            check=True,
        ).stdout

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                as_user(*words), env=self._environment(name), stdout=log, stderr=log
            )
        check = SERVICES[name]["healthcheck"]["test"][1:]

        def is_ready() -> bool:
            status = subprocess.run(
                as_user(*check), env=self._environment(name), check=False
            ).returncode
            return status == 0

        until(is_ready)

    def _environment(self, name: str) -> dict[str, str]:
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PGDATA": str(self.folder / name),
            "PGPORT": self.ports[name],
            "PGHOST": "" if name == "standby" else str(self.folder),
            "PGPASSWORD": PASSWORD,
            "POSTGRES_PASSWORD": PASSWORD,
            # In the containers, a name; the script puts it into a connection string.
            "PRIMARY": f"127.0.0.1 port={self.ports['primary']}",
        }


@pytest.fixture
def databases() -> Iterator[Databases]:
    """A primary that waits for its standby at each commit."""
    pair = Databases()
    try:
        pair.start_primary()
        pair.start_standby()
        until(lambda: pair.find_standbys() == "standby|quorum\n")
        yield pair
    finally:
        pair.close()


def test_a_promotion_keeps_every_commit(databases: Databases) -> None:
    """A commit is on the standby as well, which takes writes once the primary has gone."""
    databases.query("CREATE TABLE item (id int)", "INSERT INTO item VALUES (1)")
    databases.kill("primary")
    databases.run("pg_ctl", "promote", "--wait", name="standby")
    databases.query("INSERT INTO item VALUES (2)")
    assert "2\n" == databases.query("SELECT count(*) FROM item")


def test_a_standby_starts_again_with_its_data(databases: Databases) -> None:
    """A standby that was killed has what the primary stored before and afterwards."""
    databases.query("CREATE TABLE item (id int)", "INSERT INTO item VALUES (1)")
    databases.kill("standby")
    databases.start_standby()
    databases.query("INSERT INTO item VALUES (2)")
    databases.kill("primary")
    databases.run("pg_ctl", "promote", "--wait", name="standby")
    assert "2\n" == databases.query("SELECT count(*) FROM item")


def test_a_backup_can_be_restored(databases: Databases) -> None:
    """The chart's backup has all rows but those of unlogged tables, which hold snapshots.

    It uses the password of the URL.
    """
    databases.query(
        "CREATE SCHEMA akin",
        "CREATE TABLE akin.item (id int)",
        "INSERT INTO akin.item SELECT generate_series(1, 1000)",
        "CREATE UNLOGGED TABLE akin.snapshot (id int)",
        "INSERT INTO akin.snapshot VALUES (1)",
    )
    backups = databases.folder / "backups"
    databases.run("mkdir", str(backups))
    databases.run(
        "bash",
        str(databases.folder / "backup.sh"),
        AKIN_STORE=databases.url.replace("akin@", f"akin:{quote(PASSWORD)}@", 1),
        PGPASSWORD="",
        BACKUP_DIR=str(backups),
        RETAINED_BACKUPS="1",
    )
    databases.query("DROP SCHEMA akin CASCADE")
    (dump,) = backups.iterdir()
    databases.run(
        "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={databases.url}", str(dump)
    )
    counts = databases.query("SELECT count(*), (SELECT count(*) FROM akin.snapshot) FROM akin.item")
    assert "1000|0\n" == counts
