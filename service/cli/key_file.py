"""Adds entries to the file of API keys while servers read it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from service.api.auth import KeyAuthorizer
from service.files import replace_file


def append_key(path: Path, entry: Mapping[str, object]) -> None:
    """Add an entry to a file of API keys, all or nothing; create the file if there is none.

    Servers read the file before or after the change, never a part of it. The file keeps its mode
    and owner; a new one can be read by its owner only.

    Raises:
        KeysUnusable: the file is no file of API keys; it is unchanged.
        OSError: the file cannot be written.
    """
    target = path.resolve()
    with _lock_folder(target.parent):
        entries: list[object] = []
        if target.exists():
            KeyAuthorizer(target)  # it raises the error with which a server would refuse the file
            entries = json.loads(target.read_bytes())["keys"]
        with replace_file(target) as temporary:
            temporary.write_text(json.dumps({"keys": [*entries, entry]}, indent=2) + "\n")
            KeyAuthorizer(temporary)
            if target.exists():
                shutil.copymode(target, temporary)
                status = target.stat()
                with suppress(PermissionError):  # only root can give a file away
                    os.chown(temporary, status.st_uid, status.st_gid)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Wait until no other command changes a file of API keys in the folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
