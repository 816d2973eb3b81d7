"""The forked processes of tests behave like processes that start Python."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import processes
from support.processes import AKIN
from support.server import WAIT_SECONDS, environment


@pytest.mark.parametrize(
    ("words", "status"),
    [(("status", "--help"), 0), (("no-such-command",), 2), (("backup", "none/žluť"), 1)],
    ids=str,
)
def test_a_forked_command_ends_like_one_of_its_own(
    tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    """A forked command has its own arguments, folder, environment, output and exit status."""
    variables = environment(tmp_path, LOG_LEVEL="error")
    forked = processes.run(words, folder=tmp_path, environment=variables, seconds=WAIT_SECONDS)
    started = subprocess.run(
        [*AKIN, *words], cwd=tmp_path, env=variables, capture_output=True, check=False
    )
    assert (status, started.stdout, started.stderr) == forked
    assert status == started.returncode


def test_a_forked_process_is_one_of_its_own(tmp_path: Path) -> None:
    """A signal reaches one forked process only, and its status is that of the signal."""
    with (tmp_path / "log").open("wb") as log:
        first, second = (
            processes.start(
                ("serve",),
                folder=tmp_path,
                environment=environment(tmp_path, DATA_DIR=name),
                output=log.fileno(),
                errors=log.fileno(),
                starts_session=True,
            )
            for name in ("first", "second")
        )
    try:
        assert first.pid == os.getsid(first.pid) != second.pid
        os.killpg(first.pid, signal.SIGKILL)
        assert -signal.SIGKILL == first.wait(WAIT_SECONDS)
        assert second.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0)
    finally:
        second.kill()
    assert -signal.SIGKILL == second.wait(WAIT_SECONDS)
