"""The lower two bits of the numbers of quantized vectors, four components to a byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LowBits = NDArray[np.uint8]  # [rows, a quarter of the dimensions]

# Components whose bits share a byte; the first has the lowest bits.
COMPONENTS_PER_BYTE = 4

_SHIFTS = np.arange(COMPONENTS_PER_BYTE, dtype=np.uint8) * 2

# The bits of four components for each byte, as one number of four bytes, so that one look-up
# unpacks them.
_UNPACKED = ((np.arange(256, dtype=np.uint8)[:, None] >> _SHIFTS) & 3).view(np.uint32).ravel()


def count_low_bytes(dimensions: int) -> int:
    """Return how many bytes the bits of a vector take."""
    return -(-dimensions // COMPONENTS_PER_BYTE)


def pack_low_bits(bits: NDArray[np.uint8]) -> LowBits:
    """Pack numbers from 0 to 3, uint8 [rows, dimensions]."""
    rows, dimensions = bits.shape
    width = count_low_bytes(dimensions)
    padded = np.zeros((rows, width * COMPONENTS_PER_BYTE), np.uint8)
    padded[:, :dimensions] = bits
    shifted = padded.reshape(rows, width, COMPONENTS_PER_BYTE) << _SHIFTS
    packed: LowBits = np.bitwise_or.reduce(shifted, axis=2)
    return packed


def unpack_low_bits(packed: LowBits, dimensions: int) -> NDArray[np.uint8]:
    """Return the packed numbers of one row or of several, uint8 [rows, dimensions]."""
    return _UNPACKED[packed].view(np.uint8)[..., :dimensions]


def write_low_bits(packed: LowBits, path: Path) -> None:
    """Write packed numbers to a file.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            np.save(file, packed, allow_pickle=False)
    except OSError as exc:
        raise OSError(exc.errno, f"{path.name} cannot be written: {exc.strerror}") from exc


def read_low_bits(path: Path) -> LowBits:
    """Map a file that `write_low_bits` wrote into memory.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has no such numbers.
    """
    packed = np.load(path, mmap_mode="r", allow_pickle=False)
    if packed.dtype != np.uint8:
        raise ValueError(f"{path.name} has no low bits")
    # Without the subclass, each selection of rows takes a tenth of the time.
    return np.asarray(packed)
