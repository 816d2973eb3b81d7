"""`akin migrate` between real servers."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import akin
import psycopg
import pytest
from support import processes
from support.command import run
from support.moves import MovedStore
from support.server import WAIT_SECONDS, RunningServer, environment, refused
from support.texts import distinct
from support.waiting import until

from service.storage.data_folder import DATABASE
from service.storage.moving.moved_tables import MOVED_TABLES

IMPORTED = 300

# Rows that take many transactions to copy, so that a kill finds the copy in the middle.
MANY_ROWS = """
    WITH RECURSIVE numbers(number) AS (
        SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 150000)
    INSERT INTO clicked_responses SELECT 1, number, CAST(number AS BLOB) FROM numbers
"""


@pytest.fixture(params=["to PostgreSQL", "to a file"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[MovedStore, MovedStore]:
    """A source and a target of the other kind; a server of either has its own folder."""
    is_file = request.param == "to PostgreSQL"
    return (
        MovedStore(tmp_path / "source" / "data", is_file),
        MovedStore(tmp_path / "target" / "data", not is_file),
    )


def settings(store: MovedStore) -> dict[str, str]:
    """The settings of a server over a store."""
    return {} if store.is_file else {"STORE": store.address}


def serve(store: MovedStore) -> RunningServer:
    """Start a server over a store."""
    store.folder.parent.mkdir(exist_ok=True)
    return RunningServer(store.folder.parent, **settings(store))


def words(source: MovedStore, target: MovedStore) -> tuple[str, ...]:
    """The command line of a move."""
    return ("migrate", "--from", source.address, "--to", target.address)


def test_a_server_goes_on_while_its_data_moves(
    tmp_path: Path, pair: tuple[MovedStore, MovedStore]
) -> None:
    """Writes during the copy arrive; ids, sequence numbers and recommendations stay valid."""
    source, target = pair
    stop, written = threading.Event(), []
    with serve(source) as server, server.client() as client:

        def write() -> None:
            number = 0
            while not stop.is_set():
                item = client.upsert_item(str(number), distinct(number)).item
                written.append((item.item_id, item.sequence))
                number += 1

        items = (akin.item(f"i{number}", distinct(number)) for number in range(IMPORTED))
        assert {0} == {result.code for result in client.import_items(items)}
        client.upsert_user("ann", liked_items=["i1"])
        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(written) > 10)
        copied = run(*words(source, target), "--json", folder=tmp_path)
        assert 0 == copied.status, copied.stderr
        count = len(written)
        until(lambda: len(written) > count)
        early = run(*words(source, target), "--finish", folder=tmp_path)
        assert 1 == early.status
        assert b"stop all servers first" in early.stderr
        stop.set()
        writer.join(WAIT_SECONDS)
        expected = client.recommend_similar(user_id="ann", limit=20)
        assert 0 == server.stop()
    target.folder.parent.mkdir(exist_ok=True)
    status, lines = refused(target.folder.parent, **settings(target))
    assert 2 == status
    assert "unfinished migration" in lines[-1]
    finished = run(*words(source, target), "--finish", "--json", folder=tmp_path)
    assert 0 == finished.status, finished.stderr
    report = json.loads(finished.stdout)
    assert report["finished"]
    assert written[-1][1] <= report["sequence"]
    assert {table.name for table in MOVED_TABLES} == report["tables"].keys()
    assert 0 < report["changed_rows"] < json.loads(copied.stdout)["changed_rows"]
    with serve(target) as server, server.client() as client:
        for item_id, sequence in (written[0], written[-1]):
            assert sequence == client.get_item(item_id).sequence
        moved = client.recommend_similar(user_id="ann", limit=20, min_sequence=written[-1][1])
        assert [item.item_id for item in expected.recommendations] == [
            item.item_id for item in moved.recommendations
        ]
        assert client.upsert_item("after", "after").item.sequence == report["sequence"] + 1


def test_a_killed_copy_goes_on(tmp_path: Path, pair: tuple[MovedStore, MovedStore]) -> None:
    """After SIGKILL in the middle, the command copies only what is missing."""
    source, target = pair
    with serve(source) as server:
        assert 0 == server.stop()
    source.execute(
        MANY_ROWS
        if source.is_file
        else MANY_ROWS.replace("CAST(number AS BLOB)", "CAST(CAST(number AS TEXT) AS BYTEA)")
    )
    with Path(os.devnull).open("w") as null:
        process = processes.start(
            words(source, target),
            folder=tmp_path,
            environment=environment(tmp_path),
            output=null.fileno(),
            errors=null.fileno(),
        )
    until(lambda: copied_rows(target) > 0)
    process.kill()
    process.wait(WAIT_SECONDS)
    before = copied_rows(target)
    assert 0 < before < 150_000
    finished = run(*words(source, target), "--finish", "--json", folder=tmp_path)
    assert 0 == finished.status, finished.stderr
    report = json.loads(finished.stdout)
    assert 150_000 == report["tables"]["clicked_responses"]["rows"]
    assert report["changed_rows"] <= 150_000 - before + 10


def test_a_workers_server_does_not_serve_an_unfinished_target(
    tmp_path: Path, pair: tuple[MovedStore, MovedStore]
) -> None:
    """Servers with several workers end as well, with the reason and without a traceback."""
    source, target = pair
    with serve(source) as server:
        assert 0 == server.stop()
    assert 0 == run(*words(source, target), folder=tmp_path).status
    target.folder.parent.mkdir(exist_ok=True)
    status, lines = refused(target.folder.parent, WORKERS="2", **settings(target))
    assert 0 != status
    assert any("unfinished migration" in line for line in lines)


def copied_rows(target: MovedStore) -> int:
    """The rows that a copy has committed so far."""
    if target.is_file and not (target.folder / DATABASE).exists():
        return 0
    try:
        ((count,),) = target.read("SELECT count(*) FROM clicked_responses")
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
        return 0  # the schema is being created
    return int(count)
