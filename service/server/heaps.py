"""The heaps of glibc, where Python and native libraries keep most of their memory.

Without limits, an hour of mixed work took 270 MiB instead of 190. Without trimming, memory grew
from 190 to 230 MiB while other work kept the processors busy. Other C libraries have no such heaps,
and nothing happens.
"""

from __future__ import annotations

import asyncio
import ctypes
from contextlib import suppress

# By default, most threads get a heap of their own, up to eight for each processor, and memory that
# is freed stays in its heap.
MAX_HEAPS = 2
M_ARENA_MAX = -8  # of glibc's malloc.h

# glibc returns free memory only from the end of a heap. To return the rest takes 0.1 ms for each
# MiB, and 8 ms for each GiB in which nothing is free. Other threads that need memory wait for it.
TRIM_SECONDS = 60.0


def limit_heaps() -> None:
    """Have threads that start from now on share heaps."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_HEAPS)


async def trim_heaps() -> None:
    """Return free memory to the system from time to time, until cancelled."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return
    trim.argtypes = [ctypes.c_size_t]
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.get_running_loop().run_in_executor(None, trim, 0)
