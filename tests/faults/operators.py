"""Commands of operators while writers write."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from support.command import run

from faults.comparison import compare
from faults.disturbances import STATES_BETWEEN
from faults.observation import observe_folder
from faults.session import Session
from faults.tally import Tally

DATA = "data"


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
    _run(session.folder, "backup", folder / "copy")
    events = recorder.copy_events(start)
    session.write_more(STATES_BETWEEN // 2)
    _run(folder, "restore", folder / "copy")
    for event in events:
        if event.is_begin:
            event.apply(model)  # the backup may have it or not
    observed = asyncio.run(observe_folder(folder / DATA))
    recorder.violations += compare(model, observed)
    session.verified_states += len(observed.versions)
    shutil.rmtree(folder)


def find_vacuum() -> bool:
    """Return whether this version has the command `akin vacuum`."""
    return run("vacuum", "--help", folder=Path.cwd()).status == 0


def vacuum(session: Session, rng: random.Random, tally: Tally) -> None:
    """Give unused space back while writers write."""
    tally.vacuums += 1
    session.write_more(STATES_BETWEEN // 2)
    _run(session.folder, "vacuum")
    session.write_more(STATES_BETWEEN // 2)


def _run(
    folder: Path, *words: str | Path, variables: Mapping[str, str] = MappingProxyType({})
) -> None:
    ended = run(*words, folder=folder, variables=variables)
    if ended.status:
        raise CommandFailed(f"akin {words[0]}: {ended.stderr.decode(errors='replace')}")
