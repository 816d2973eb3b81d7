from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import akin
import pytest
from support.command import run
from support.server import RunningServer
from support.stores import rows
from support.waiting import until

ITEMS = 1_000
ROUNDS = 20

# A database of this many items has this many times the size of a new one at most.
MAX_GROWTH = 1.5

SWITCHED = akin.ReembeddingState.REEMBEDDING_STATE_SERVING

pytestmark = pytest.mark.slow


def items(round_number: int, count: int = ITEMS) -> Iterable[akin.Item]:
    """Items with texts of their own in each round."""
    return (
        akin.item(str(number), f"text {number} of round {round_number} about tea and books")
        for number in range(count)
    )


def write(client: akin.Client, round_number: int, count: int = ITEMS) -> None:
    """Import a round of items."""
    assert {0} == {result.code for result in client.import_items(items(round_number, count))}


def file_bytes(folder: Path) -> int:
    """The size of the database and its log."""
    return sum(path.stat().st_size for path in (folder / "data").glob("akin.sqlite3*"))


def count_rows(folder: Path) -> tuple[int, int, int]:
    """The numbers of items with tombstones, of vectors, and of free pages."""
    ((item_count, vector_count, free_pages),) = rows(
        folder / "data",
        """SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM vectors), freelist_count
           FROM pragma_freelist_count""",
    )
    return item_count, vector_count, free_pages


def wait_for_purge(folder: Path, vector_count: int) -> None:
    """Wait until more than `vector_count` vectors are removed."""
    before = count_rows(folder)[1]
    until(lambda: count_rows(folder)[1] < before - vector_count)


@pytest.fixture(scope="module")
def fresh_bytes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The size of a database into which the items were written once."""
    folder = tmp_path_factory.mktemp("fresh")
    with RunningServer(folder) as server, server.client() as client:
        write(client, 0)
        assert 0 == server.stop()
    return file_bytes(folder)


def test_items_written_many_times_take_the_room_of_their_last_write(
    tmp_path: Path, fresh_bytes: int
) -> None:
    """While the server runs, the file shrinks to about the size of a database written once."""
    with RunningServer(tmp_path) as server, server.client() as client:
        for number in range(ROUNDS):
            write(client, number)
        until(lambda: (ITEMS, ITEMS) == count_rows(tmp_path)[:2])
        until(lambda: file_bytes(tmp_path) <= MAX_GROWTH * fresh_bytes)
        text = "text 7 of round 19 about tea and books"
        (best,) = client.recommend_similar(text=text, limit=1).recommendations
        assert "7" == best.item_id
        assert best.score == pytest.approx(1.0, abs=1e-5)
        assert not client.upsert_item("8", text).embedded
        assert 0 == server.stop()
    assert file_bytes(tmp_path) <= MAX_GROWTH * fresh_bytes
    assert [("ok",)] == rows(tmp_path / "data", "PRAGMA integrity_check")


def test_deleted_items_and_catalogs_leave_no_room_taken(tmp_path: Path, fresh_bytes: int) -> None:
    """Items, users, catalogs and re-embeddings that came and went leave a database as before."""
    with RunningServer(tmp_path) as server, server.client() as client:
        for number in range(1, 4):
            client.create_catalog("other")
            with server.client(catalog="other") as other:
                write(other, number)
                other.upsert_user("u", [f"preference {number}"])
            client.delete_catalog("other")
            write(client, number)
            client.batch_delete_items(str(number) for number in range(500))
            client.upsert_user("u", [f"preference {number}"])
            client.start_reembedding(template=f"a {number} {{text}}")
            until(lambda: client.get_reembedding().state == SWITCHED)
            client.commit_reembedding()
        write(client, 0)
        until(lambda: (ITEMS, ITEMS + 1) == count_rows(tmp_path)[:2])
        until(lambda: file_bytes(tmp_path) <= MAX_GROWTH * fresh_bytes)


def test_a_kill_during_a_purge_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 at any moment of purges all items are there, and the purge goes on."""
    expected = {item.item_id: item.text for item in items(9)}
    for attempt in range(4):
        with RunningServer(tmp_path) as server, server.client() as client:
            for number in range(attempt, 10, 3):
                write(client, number)
            write(client, 9)
            client.batch_delete_items([str(number) for number in range(0, ITEMS, 2)])
            write(client, 9)
            wait_for_purge(tmp_path, 200 * attempt)
            server.kill()
    with RunningServer(tmp_path) as server, server.client() as client:
        listed = {item.item_id: item.text for item in client.list_items(1000).items}
        assert expected == listed
        until(lambda: (ITEMS, ITEMS) == count_rows(tmp_path)[:2])
        for item_id in ("0", "1", "999"):
            answer = client.recommend_similar(text=expected[item_id], limit=1)
            assert item_id == answer.recommendations[0].item_id
    assert [("ok",)] == rows(tmp_path / "data", "PRAGMA integrity_check")


def test_vacuum_makes_a_stopped_server_small(tmp_path: Path, fresh_bytes: int) -> None:
    """`akin vacuum` removes what is unused, rewrites the file, and the server serves from it."""
    with RunningServer(tmp_path) as server, server.client() as client:
        for number in range(5):
            write(client, number)
        client.batch_delete_items([str(number) for number in range(500)])
        refused = run("vacuum", folder=tmp_path)
        assert 1 == refused.status
        (message,) = refused.error_lines
        assert message.startswith("akin vacuum: another server uses this data folder")
        assert 0 == server.stop()
    large = file_bytes(tmp_path)
    done = run("vacuum", "--json", folder=tmp_path)
    assert 0 == done.status, done.stderr
    summary = json.loads(done.stdout)
    assert summary["bytes_after"] == file_bytes(tmp_path) < fresh_bytes
    assert summary["bytes_before"] <= large
    assert (ITEMS // 2, ITEMS // 2, 0) == count_rows(tmp_path)
    assert {"akin.sqlite3", "lock"} == {path.name for path in (tmp_path / "data").iterdir()}
    assert 0o600 == (tmp_path / "data/akin.sqlite3").stat().st_mode & 0o777
    with RunningServer(tmp_path) as server, server.client() as client:
        assert ITEMS // 2 == client.get_catalog().item_count
        client.create_catalog("new")
        write(client, 5)
        text = "text 7 of round 5 about tea and books"
        answer = client.recommend_similar(text=text, limit=1)
        assert "7" == answer.recommendations[0].item_id
