"""Servers that start while their database cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.postgres import FAST, PostgresServer
from support.server import RunningServer, free_address

from service import errors
from service.storage.opening import wait_for_store

EVENT = "store_unavailable_at_start"


class StartingServer(RunningServer):
    """A server that need not serve, because its database is away."""

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait for another line instead of that of a server that serves."""
        return {"address": "", **super().wait_for(EVENT if event == "serving" else event, times)}


@contextmanager
def stopped_database() -> Iterator[PostgresServer]:
    """A database server that does not run."""
    server = PostgresServer(FAST, port=int(free_address().rpartition(":")[2]))
    try:
        server.kill()
        yield server
    finally:
        server.stop()


def address_of(server: PostgresServer) -> str:
    return f"postgresql://akin:secret@127.0.0.1:{server.port}/postgres"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_waits_for_its_database(tmp_path: Path, workers: str) -> None:
    """A server that starts before its database serves once the database runs."""
    with stopped_database() as database:
        settings = {"STORE": address_of(database), "WORKERS": workers}
        with StartingServer(tmp_path, **settings) as server:
            line = server.events(EVENT)[0]
            assert "refused" in line["reason"]
            assert server.is_running
            database.start()
            assert "postgresql" == RunningServer.wait_for(server, "serving")["store"]
            assert len(server.events(EVENT)) <= int(workers)
            assert not any("secret" in logged for logged in server.log)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_waits_can_be_stopped(tmp_path: Path, workers: str) -> None:
    """SIGTERM ends a server that waits for its database."""
    with stopped_database() as database:
        settings = {"STORE": address_of(database), "WORKERS": workers}
        with StartingServer(tmp_path, **settings) as server:
            assert 0 == server.stop()


async def test_a_start_gives_up_in_the_end() -> None:
    """A database that does not appear in time is reported with the last reason."""
    with capture_logs() as log, pytest.raises(errors.StoreUnavailable) as caught:
        await wait_for_store("postgresql://akin:secret@127.0.0.1:9/akin", seconds=0.5)
    (line,) = log
    assert (EVENT, 0.5) == (line["event"], line["wait_seconds"])
    assert "secret" not in f"{line} {caught.value}"
    assert f"the store cannot be used: {line['reason']}" == str(caught.value)


async def test_an_unsuitable_address_is_not_waited_for() -> None:
    """A start ends at once if waiting does not help."""
    with capture_logs() as log, pytest.raises(errors.StoreUnavailable, match="is not valid"):
        await wait_for_store("postgresql://akin@127.0.0.1:9/akin?no_option=1")
    await wait_for_store("")
    assert [] == log
