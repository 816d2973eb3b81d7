"""What metrics show of the machine and of the settings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from functools import partial

from service.api.certificates import read_expiry
from service.settings import Settings
from service.storage.data_folder import BACKUP_MARK


def read_host(settings: Settings) -> dict[str, Callable[[], float]]:
    """Return the function of each gauge of the machine and the settings that applies."""
    folder, budget_usd = settings.data_dir, settings.embedding_budget_usd_per_day
    readings: dict[str, Callable[[], float]] = {
        "akin_disk_free_bytes": lambda: shutil.disk_usage(folder).free,
        "akin_disk_size_bytes": lambda: shutil.disk_usage(folder).total,
        "akin_embedding_budget_usd_per_day": lambda: math.inf if budget_usd is None else budget_usd,
    }
    if not settings.store:
        mark = folder / BACKUP_MARK
        readings["akin_last_backup_timestamp_seconds"] = lambda: mark.stat().st_mtime
    if settings.tls_certificate is not None:
        readings["akin_certificate_expiry_timestamp_seconds"] = partial(
            read_expiry, settings.tls_certificate
        )
    return readings
