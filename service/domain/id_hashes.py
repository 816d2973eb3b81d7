"""Hashes of ids, equal in all processes and versions."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

ID_HASH_BYTES = 8


def hash_ids(encoded_ids: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return the first 64 bits of the BLAKE2b hash of each id, uint64 [ids]."""
    digests = [blake2b(item_id, digest_size=ID_HASH_BYTES).digest() for item_id in encoded_ids]
    return np.frombuffer(b"".join(digests), "<u8")
