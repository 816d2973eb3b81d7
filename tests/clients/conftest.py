from collections.abc import Awaitable, Callable
from typing import Any

import akin
import pytest

STREAMS = {"find_duplicates", "import_items", "import_item_batches"}

Ask = Callable[..., Awaitable[Any]]


async def ask_blocking(address: str, call: str, *given: Any, **options: Any) -> Any:
    with akin.Client(address, catalog="books", timeout_seconds=20) as client:
        made = getattr(client, call)(*given, **options)
        return list(made) if call in STREAMS else made


async def ask_async(address: str, call: str, *given: Any, **options: Any) -> Any:
    async with akin.AsyncClient(address, catalog="books", timeout_seconds=20) as client:
        made = getattr(client, call)(*given, **options)
        return [each async for each in made] if call in STREAMS else await made


@pytest.fixture(params=[ask_blocking, ask_async])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen
