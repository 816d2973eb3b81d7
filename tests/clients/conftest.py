from collections.abc import Awaitable, Callable
from typing import Any

import akin
import pytest

STREAMS = {
    "find_duplicates",
    "import_items",
    "import_item_batches",
    "import_interactions",
    "import_users",
    "import_user_batches",
}

Call = Callable[..., Awaitable[Any]]


async def call_blocking(address: str, method: str, *arguments: Any, **options: Any) -> Any:
    with akin.Client(address, catalog="books", timeout_seconds=20) as client:
        result = getattr(client, method)(*arguments, **options)
        return list(result) if method in STREAMS else result


async def call_async(address: str, method: str, *arguments: Any, **options: Any) -> Any:
    async with akin.AsyncClient(address, catalog="books", timeout_seconds=20) as client:
        result = getattr(client, method)(*arguments, **options)
        return [part async for part in result] if method in STREAMS else await result


@pytest.fixture(params=[call_blocking, call_async])
def call(request: pytest.FixtureRequest) -> Call:
    """A function that calls a method of a client, once for each kind of client."""
    kind: Call = request.param
    return kind
