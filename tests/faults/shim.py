"""Compiles the shims, which servers preload."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SOURCES = Path(__file__).parent / "shim"
COMPILE_SECONDS = 60


def find_problem() -> str:
    """Return why shims cannot be used on this machine; empty if they can."""
    if sys.platform != "linux":
        return "shims need Linux"
    return "" if _find_compiler() else "there is no C compiler named cc"


def compile_shim(name: str, folder: Path) -> Path:
    """Compile the shim of a name into a folder; return the library.

    Raises:
        subprocess.CalledProcessError: the compiler refuses it.
    """
    library = folder / f"{name}.so"
    sources = sorted(str(path) for path in (SOURCES / name).glob("*.c"))
    command = [_find_compiler(), "-O2", "-shared", "-fPIC", "-o", str(library), *sources, "-ldl"]
    subprocess.run(command, check=True, timeout=COMPILE_SECONDS)
    return library


def make_journal_variables(
    library: Path, root: Path, journal: Path, *, syncs: bool
) -> Mapping[str, str]:
    """Return the environment of a server whose files below a root are journaled.

    Args:
        library: the compiled shim `journal`.
        root: the folder, an absolute path without symbolic links.
        journal: the file to write.
        syncs: whether syncs work.
    """
    return {
        "LD_PRELOAD": str(library),
        "FAULTS_ROOT": str(root),
        "FAULTS_JOURNAL": str(journal),
        "FAULTS_SYNC": "on" if syncs else "off",
    }


def _find_compiler() -> str:
    return shutil.which("cc") or ""
