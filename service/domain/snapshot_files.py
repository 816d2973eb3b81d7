"""The names of the files of an index snapshot: only files of these names are Akin's to remove."""

from __future__ import annotations

import re

# The file that names all others of a snapshot: without it, they are none.
MANIFEST_FILE = "manifest.json"

_NAMES = re.compile(
    r"(manifest\.json|arrays-[0-9a-f]{32}\.npz|(graph|codes)-[0-9a-f]{32}\.faiss"
    r"|bits-[0-9a-f]{32}\.npy)(\.tmp)?"
)


def is_snapshot_file(name: str) -> bool:
    """Return whether a snapshot can have a file of this name, complete or half written."""
    return _NAMES.fullmatch(name) is not None
