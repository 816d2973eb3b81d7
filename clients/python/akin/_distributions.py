"""Notices another project's package of the same name."""

from __future__ import annotations

import warnings
from pathlib import Path

# PyPI's distribution `akin` is another project. Its package is named `akin`, too, so that pip
# installs the files of both into one folder.
_OTHER = "akin-[0-9]*.dist-info"


def warn_of_other_package(site: Path = Path(__file__).parents[1]) -> None:
    """Warn if the distribution `akin` is installed in the same folder as this package.

    Lists one folder, in 0.1 ms; importlib.metadata would take 12 ms.
    """
    if any(site.glob(_OTHER)):
        warnings.warn(
            "PyPI's `akin` is another project, whose package overwrites files of Akin's client "
            "`akin-client`: run `pip uninstall akin`, then `pip install --force-reinstall "
            "--no-deps akin-client`",
            RuntimeWarning,
            stacklevel=3,
        )
