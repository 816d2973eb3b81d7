from collections.abc import Iterator

import akin
import pytest
from support.rejections import RawClient
from support.server import RunningServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[akin.Client]:
    with server.client() as connected:
        yield connected


@pytest.fixture
def raw(server: RunningServer) -> Iterator[RawClient]:
    with RawClient(server.address) as connected:
        yield connected


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}/"


@pytest.fixture
def unchanged(client: akin.Client) -> Iterator[None]:
    """Fails the test if it leaves more or fewer items than it found."""
    before = client.list_items(1).total_size
    yield
    assert before == client.list_items(1).total_size
