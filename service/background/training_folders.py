"""Removes folders of trainings that nothing needs any more.

A folder that people chose as data folder may have a folder `training` with other contents. Those of
Akin have numbers as names.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.background.training_process import MODEL_FOLDER
from service.storage.data_folder import list_numbered_folders


def remove_former(folder: Path, current: Path) -> None:
    """Remove the folders of former trainings, and the model of the current one, which is stored."""
    for other in list_numbered_folders(folder):
        if other != current:
            shutil.rmtree(other, ignore_errors=True)
    with suppress(OSError):
        shutil.rmtree(current / MODEL_FOLDER)


def remove_unused(folder: Path, train_times_us: Mapping[int, int]) -> None:
    """Remove the folders of all trainings but that of each catalog's model."""
    with suppress(OSError):
        for own_folder in list_numbered_folders(folder):
            used_time_us = train_times_us.get(int(own_folder.name))
            for training in list_numbered_folders(own_folder):
                if int(training.name) != used_time_us:
                    shutil.rmtree(training, ignore_errors=True)
            if used_time_us is None:
                with suppress(OSError):  # what others put there stays
                    own_folder.rmdir()
