"""Commands of operators while writers write."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from support import processes
from support.processes import AKIN
from support.server import environment

from faults.comparison import compare
from faults.disturbances import STATES_BETWEEN
from faults.observation import observe_folder
from faults.session import Session
from faults.tally import Tally
from service.cli.main import app

DATA = "data"

COMMAND_SECONDS = 120

# When to kill a command: it takes a second to start, and then milliseconds.
KILL_SECONDS = (0.5, 2.0)


class CommandFailed(Exception):
    """A command ended with an error; the message has its standard error."""


def back_up(session: Session, rng: random.Random, tally: Tally) -> None:
    """Make a backup, restore it elsewhere, and compare it with what was acknowledged before it."""
    tally.backups += 1
    recorder = session.recorder
    folder = session.folder.parent / f"backup-{tally.backups}"
    folder.mkdir()
    model, start = recorder.copy_model()
    session.write_more(STATES_BETWEEN // 2)
    run_command(session.folder, "backup", folder / "copy")
    events = recorder.copy_events(start)
    session.write_more(STATES_BETWEEN // 2)
    run_command(folder, "restore", folder / "copy")
    for event in events:
        if event.is_begin:
            event.apply(model)  # the backup may have it or not
    observed = asyncio.run(observe_folder(folder / DATA))
    recorder.violations += compare(model, observed)
    session.verified_states += len(observed.versions)
    shutil.rmtree(folder)


def find_vacuum() -> bool:
    """Return whether this version has the command `akin vacuum`."""
    return any(command.name == "vacuum" for command in app.registered_commands)


def vacuum(session: Session, rng: random.Random, tally: Tally) -> None:
    """Stop the server, vacuum its database, and start it again; sometimes kill the command first.

    A command that was killed is run again.
    """
    tally.vacuums += 1
    session.server.stop()
    if rng.random() < 0.5:
        tally.kills += 1
        _kill_vacuum(session.folder, rng.uniform(*KILL_SECONDS))
    run_command(session.folder, "vacuum")
    session.start_server()


def _kill_vacuum(folder: Path, seconds: float) -> None:
    command = [*AKIN, "vacuum"]
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=silent, stderr=silent
    ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()


def run_command(
    folder: Path, *words: str | Path, variables: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Run a command of `akin` for the data folder in a folder.

    Raises:
        CommandFailed: its exit status is not 0.
    """
    status, _output, errors = processes.run(
        [*map(str, words)],
        folder=folder,
        environment={**environment(folder), **variables},
        seconds=COMMAND_SECONDS,
    )
    if status:
        raise CommandFailed(f"akin {words[0]}: {errors.decode(errors='replace')}")
