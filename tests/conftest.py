import os
from pathlib import Path

import pytest
from support.postgres import stop_shared_server

SYSTEM = Path(__file__).parent / "system"

# As the server does, before FAISS is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first where several processes share the tests.

    A process that gets a long file last would run it while the others have nothing to do any more.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, SYSTEM not in item.path.parents))


def pytest_sessionfinish() -> None:
    """End the database server of this process, if a test has started it."""
    stop_shared_server()
