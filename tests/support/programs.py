"""Programs that tests run and that are no Python modules."""

import shutil
import sys
from pathlib import Path

import pytest


def find_program(name: str, remedy: str) -> str:
    """Return the path of a program beside the interpreter or on the PATH; skip the test without it.

    `remedy` is the command that installs the program.
    """
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: run `{remedy}`")
    return path
