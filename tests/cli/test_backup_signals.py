import os
import signal
import subprocess
import sys
from pathlib import Path

from support.server import WAIT_SECONDS, RunningServer

# Ends itself as a service manager does, in the middle of the copy.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from service.cli.backup import exit_on_sigterm
from service.storage.backup import create_backup

exit_on_sigterm()
create_backup(Path("data"), Path("copy"), lambda *_: os.kill(os.getpid(), signal.SIGTERM))
"""


def test_a_terminated_backup_leaves_nothing(tmp_path: Path) -> None:
    """A backup that gets SIGTERM removes what it has written, and ends with the usual status."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=dict(os.environ),
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert 128 + signal.SIGTERM == ended.returncode
    assert ["data"] == [path.name for path in tmp_path.iterdir()]
