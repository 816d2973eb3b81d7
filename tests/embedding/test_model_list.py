import socket

import pytest
from support.sockets import Proxy

from service.embedding.errors import ProviderUnavailable
from service.embedding.model_list import fetch_models


async def test_a_refused_connection_is_explained() -> None:
    """If nothing listens at the address, the error says so and names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match=r"nothing listens .* AKIN_EMBEDDING_BASE_URL"):
        await fetch_models(f"http://127.0.0.1:{port}/v1")


async def test_an_error_status_is_named() -> None:
    """If the provider refuses the request, the error names the HTTP status."""
    with (
        Proxy() as server,  # responds to every request with status 403
        pytest.raises(ProviderUnavailable, match=r"no list of models \(HTTP 403\)"),
    ):
        await fetch_models(f"{server.url}/v1")
