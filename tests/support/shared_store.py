"""Replicas: servers over one PostgreSQL database, each with a data folder of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import akin
import grpc
import psycopg
from akin._errors import decode
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub

from support.postgres import PostgresServer
from support.server import WAIT_SECONDS, RunningServer

# The number of kinds of background work, each of which one replica has.
DUTIES = 5

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "

TERMINATE_COMMITS = """
    DO $$ BEGIN
        LOOP
            PERFORM pg_stat_clear_snapshot();
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE state = 'active' AND query LIKE '%INTO %commits (%'
                AND pid != pg_backend_pid() AND random() < 0.3;
            PERFORM pg_sleep(0.0002);
        END LOOP;
    END $$
"""

# How the message ends of an error after which a write can be stored or not.
MAYBE_STORED = "may have been stored"


class PlainWriter:
    """Writes to a replica without the retries of clients; a context manager."""

    def __init__(self, server: RunningServer) -> None:
        self._channel = grpc.insecure_channel(server.address, [("grpc.enable_retries", 0)])
        self._stub = RecommenderServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._channel.close()

    def upsert(self, item_id: str, text: str) -> akin.AkinError | None:
        """Store an item; return the error if it fails."""
        request = pb.UpsertItemRequest(item=akin.item(item_id, text))
        try:
            self._stub.UpsertItem(request, timeout=WAIT_SECONDS, wait_for_ready=True)
        except grpc.RpcError as exc:
            return decode(exc)
        return None


class Store:
    """A new database of a PostgreSQL server."""

    def __init__(self, postgres: PostgresServer, name: str) -> None:
        self.postgres = postgres
        self.name = name
        postgres.execute(f"CREATE DATABASE {name}")

    @property
    def address(self) -> str:
        """The address of the database, as AKIN_STORE takes it."""
        return self.postgres.address(self.name)

    def start(self, folder: Path, **settings: str) -> RunningServer:
        """Start a replica with a data folder below a folder, which is created."""
        folder.mkdir(exist_ok=True)
        return RunningServer(folder, STORE=self.address, **settings)

    @contextmanager
    def start_several(
        self, folder: Path, count: int, **settings: str
    ) -> Iterator[Sequence[RunningServer]]:
        """Start replicas one after another; the first one takes all duties."""
        with ExitStack() as stack:
            replicas: list[RunningServer] = []
            for number in range(count):
                replica = stack.enter_context(self.start(folder / f"{number}", **settings))
                replicas.append(replica)
                if not number:
                    replica.wait_for("duty_taken", DUTIES)
            yield replicas

    def read(self, query: str) -> object:
        """Return the only value of the only row of a query."""
        ((value,),) = self.postgres.execute(query, self.name)
        return value

    def terminate(self, condition: str) -> int:
        """End the sessions of Akin that a condition chooses, and return their number."""
        sessions = f"datname = '{self.name}' AND application_name = 'akin' AND {condition}"
        return len(self.postgres.execute(TERMINATE + sessions))

    @contextmanager
    def terminate_commits(self) -> Iterator[None]:
        """End many of the sessions that commit, as long as the context lasts."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            terminating = threading.Thread(target=_run_until_canceled, args=(connection,))
            terminating.start()
            try:
                yield
            finally:
                connection.cancel()
                terminating.join()


def _run_until_canceled(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute(TERMINATE_COMMITS)
