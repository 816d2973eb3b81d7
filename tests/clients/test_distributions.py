import os
import subprocess
import sys
from pathlib import Path

import pytest
from akin._distributions import warn_of_other_package

ROOT = Path(__file__).resolve().parents[2]


def test_another_akin_is_noticed(tmp_path: Path) -> None:
    """The client warns if the distribution that PyPI calls `akin` is installed beside it."""
    (tmp_path / "akin-1.0.1.dist-info").mkdir()
    with pytest.warns(RuntimeWarning, match="run `pip uninstall akin`"):
        warn_of_other_package(tmp_path)


def test_its_own_distribution_is_no_other_one(tmp_path: Path) -> None:
    """The distributions of Akin itself are nothing to warn of; a warning would fail this test."""
    for name in ("akin_client-0.2.0.dist-info", "akin_service-0.2.0.dist-info"):
        (tmp_path / name).mkdir()
    warn_of_other_package(tmp_path)


def test_the_command_names_the_other_package(tmp_path: Path) -> None:
    """Without its client, the command says in one line which package takes its place."""
    (tmp_path / "akin").mkdir()
    (tmp_path / "akin/__init__.py").write_text("LSH = None\n")
    process = subprocess.run(
        [sys.executable, "-m", "service", "status"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == process.returncode
    (line,) = process.stderr.splitlines()
    assert line.startswith("akin: the Python package akin is that of another project")
