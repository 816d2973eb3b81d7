from __future__ import annotations

import random
from pathlib import Path

import akin
import pytest
from support.command import run
from support.server import RunningServer
from support.texts import distinct

from faults import shim
from faults.disk import Disk, Survival
from faults.journal import read_journal
from faults.observation import observe_folder
from faults.power_cuts import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(shim.find_problem()), reason=shim.find_problem() or "unused"),
]

ITEMS = 20


def run_and_cut_power(tmp_path: Path, root: Path, *words: str | Path) -> Path:
    """Runs a command and cuts the power at its end; returns the folder with what survives."""
    disk = Disk(root, is_ordered=False)
    library, journal = shim.compile_shim("journal", tmp_path), tmp_path / "journal"
    variables = shim.make_journal_variables(library, root, journal, syncs=True)
    ended = run(*words, folder=root, variables=variables)
    assert 0 == ended.status, ended.stderr
    for record in read_journal(journal):
        disk.apply(record)
    survivors = tmp_path / "survivors"
    survivors.mkdir()
    disk.cut_power(Survival.NOTHING, random.Random(0), survivors)
    return survivors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose data folder has some items."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    with RunningServer(root) as server, server.client() as client:
        list(client.import_items(akin.item(str(n), distinct(n)) for n in range(ITEMS)))
        server.stop()
    return root


async def test_a_backup_survives_a_power_cut(tmp_path: Path, root: Path) -> None:
    """As soon as `akin backup` has ended, its file survives a power cut."""
    survivors = run_and_cut_power(tmp_path, root, "backup", "copy")
    restored = tmp_path / "restored"
    restored.mkdir()
    assert 0 == run("restore", survivors / "copy", folder=restored).status
    assert ITEMS == len((await observe_folder(restored / DATA)).versions)


async def test_restored_data_survives_a_power_cut(tmp_path: Path, root: Path) -> None:
    """As soon as `akin restore` has ended, the data survives a power cut."""
    assert 0 == run("backup", tmp_path / "copy", folder=root).status
    restored = root.with_name("restored")
    (restored / DATA).mkdir(parents=True)
    survivors = run_and_cut_power(tmp_path, restored, "restore", tmp_path / "copy")
    assert ITEMS == len((await observe_folder(survivors / DATA)).versions)
