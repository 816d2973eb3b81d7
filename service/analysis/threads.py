"""The threads of long computations, apart from those of short ones that calls wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_T = TypeVar("_T")

# Long computations at once, in all catalogs; further ones wait for them.
ANALYSIS_THREADS = 2

_THREADS = ThreadPoolExecutor(ANALYSIS_THREADS, thread_name_prefix="akin-analysis")


async def compute(
    function: Callable[_Arguments, _T], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _T:
    """Run a long computation in one of a few threads."""
    return await asyncio.wrap_future(_THREADS.submit(function, *args, **kwargs))
