"""Removes folders of trainings that nothing needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.background.training_process import MODEL_FOLDER


def remove_former(folder: Path, current: Path) -> None:
    """Remove the folders of former trainings, and the model of the current one, which is stored."""
    for other in folder.iterdir():
        if other != current:
            shutil.rmtree(other, ignore_errors=True)
    with suppress(OSError):
        shutil.rmtree(current / MODEL_FOLDER)


def remove_unused(folder: Path, train_times_us: Mapping[int, int]) -> None:
    """Remove all folders but that of the training of each catalog's model."""
    with suppress(OSError):
        for own_folder in folder.iterdir():
            used = {str(catalog_id) for catalog_id in train_times_us}
            if own_folder.name not in used:
                shutil.rmtree(own_folder, ignore_errors=True)
                continue
            for training in own_folder.iterdir():
                if training.name != str(train_times_us[int(own_folder.name)]):
                    shutil.rmtree(training, ignore_errors=True)
