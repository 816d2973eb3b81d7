"""Reads and writes FAISS's own index files, with errors that every caller expects."""

from __future__ import annotations

from pathlib import Path

import faiss

# Bytes that are written together: as fast as FAISS's own writer.
WRITTEN_BYTES = 1024 * 1024


def write_faiss_index(index: faiss.Index, path: Path) -> None:
    """Write a FAISS index to a file.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        # FAISS's own writer reports no error if the last bytes do not fit on the disk.
        with path.open("wb") as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, WRITTEN_BYTES))
    except OSError as exc:
        raise OSError(exc.errno, f"{path.name} cannot be written: {exc.strerror}") from exc


def read_faiss_index(path: Path, *, mapped: bool = False) -> faiss.Index:
    """Read a FAISS index from a file.

    Args:
        path: the file.
        mapped: map the file into memory, whose pages other processes then share.

    Raises:
        ValueError: the file is missing or has no FAISS index.
    """
    flags = faiss.IO_FLAG_MMAP_IFC if mapped else 0
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as exc:
        raise ValueError(f"{path.name} is no FAISS index") from exc
