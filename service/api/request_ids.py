"""The ids of calls, which callers, logs and replies share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

REQUEST_ID = "x-request-id"

# An id is part of a log line, and of the 8 KiB of headers that clients accept with an error.
MAX_REQUEST_ID_BYTES = 128

_VALID = re.compile(rf"[!-~]{{1,{MAX_REQUEST_ID_BYTES}}}")


def read_request_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the first `x-request-id` of a call's metadata, or a new id.

    An id of 1 to 128 visible ASCII characters is taken; any other one is replaced. A new id is 16
    hexadecimal digits.
    """
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and _VALID.fullmatch(value):
            return value
    return os.urandom(8).hex()
