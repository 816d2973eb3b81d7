from collections.abc import Iterator

import pytest
from support.stores import CHOICE

# Modules about what only the database file has.
SQLITE_ONLY = {"test_file_modes", "test_migrations", "test_opening", "test_vacuum"}


# Modules about what only PostgreSQL has.
POSTGRES_ONLY = {"test_commit_history", "test_snapshot_shelf"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test over both stores, unless it is about one of them."""
    if metafunc.module.__name__.rpartition(".")[2] in POSTGRES_ONLY:
        metafunc.parametrize("_store", ["postgres"], indirect=True)
        return
    stores = (
        ["sqlite"]
        if metafunc.module.__name__.rpartition(".")[2] in SQLITE_ONLY
        or any(mark.name == "sqlite" for mark in metafunc.definition.iter_markers())
        else ["sqlite", "postgres"]
    )
    metafunc.parametrize("_store", stores, indirect=True)


@pytest.fixture(autouse=True)
def _store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test open the store of its parameter."""
    CHOICE.uses_postgres = request.param == "postgres"
    yield
    CHOICE.uses_postgres = False
