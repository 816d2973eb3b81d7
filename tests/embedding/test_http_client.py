import gc
import ssl
from collections.abc import Iterator

import pytest
from support.provider import ScriptedProvider

from service.embedding.http_client import open_http_client

CLIENTS = 10


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keeps the garbage collector from running, as it does for minutes in a quiet server."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def count_contexts() -> int:
    return sum(isinstance(found, ssl.SSLContext) for found in gc.get_objects())


@pytest.mark.usefixtures("no_collection")
async def test_closed_clients_leave_no_certificates_behind() -> None:
    """The certificate authorities are in memory once, however many clients have made requests."""
    with ScriptedProvider() as provider:
        for _ in range(CLIENTS):
            async with open_http_client(provider.url, timeout=5.0) as client:
                await client.get(f"{provider.url}/embeddings/models")
        assert count_contexts() < CLIENTS / 2
