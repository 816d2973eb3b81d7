from collections.abc import Iterator

import pytest
from support.stores import CHOICE

STORES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over both stores, unless it is marked as one of one store."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    chosen = [store for store in STORES if store in marks]
    metafunc.parametrize("_store", chosen or STORES, indirect=True)


@pytest.fixture(autouse=True)
def _store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test open the store of its parameter."""
    CHOICE.uses_postgres = request.param == "postgres"
    yield
    CHOICE.uses_postgres = False
