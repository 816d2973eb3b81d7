import os
import signal
import subprocess
import sys
from pathlib import Path

from support.server import WAIT_SECONDS, RunningServer

# Ends itself as a service manager does, in the middle of the copy.
BACKUP_SCRIPT = """
import os, signal, sys
from pathlib import Path
from service.cli.console import exit_on_sigterm
from service.storage.sqlite.backup import create_backup

exit_on_sigterm()
create_backup(Path("data"), Path("copy"), lambda *_: os.kill(os.getpid(), signal.SIGTERM))
"""

# The same once the new file is there, whose mode is then set.
VACUUM_SCRIPT = """
import os, signal, sys
from pathlib import Path
from service.cli.vacuum import vacuum

def end(event, _arguments):
    if event == "os.chmod" and any(Path("data").glob("*.partial")):
        os.kill(os.getpid(), signal.SIGTERM)

sys.addaudithook(end)
vacuum(Path("data"))
"""


def run_script(folder: Path, script: str) -> int:
    """Run a Python script in a folder, and return its exit status."""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=dict(os.environ),
        timeout=WAIT_SECONDS,
        check=False,
    )
    return ended.returncode


def test_a_terminated_backup_leaves_nothing(tmp_path: Path) -> None:
    """A backup that gets SIGTERM removes what it has written, and ends with the usual status."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    assert 128 + signal.SIGTERM == run_script(tmp_path, BACKUP_SCRIPT)
    assert ["data"] == [path.name for path in tmp_path.iterdir()]


def test_a_terminated_vacuum_leaves_the_database(tmp_path: Path) -> None:
    """A vacuum that gets SIGTERM removes its copy, and ends with the usual status."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    assert 128 + signal.SIGTERM == run_script(tmp_path, VACUUM_SCRIPT)
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert {"akin.sqlite3", "lock"} == names - {"index"}
