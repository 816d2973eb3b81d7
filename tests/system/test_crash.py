import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import akin
import grpc
import pytest
from grpc_health.v1 import health_pb2
from support.rejections import RawClient
from support.server import WAIT_SECONDS, RunningServer, refused
from support.texts import distinct

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class PausedItems:
    """Items for an import that waits for `go` after the first `pause` of them."""

    def __init__(self, count: int, pause: int) -> None:
        self.go = threading.Event()
        self._count = count
        self._pause = pause

    def __iter__(self) -> Iterator[akin.Item]:
        for number in range(self._count):
            if number == self._pause:
                self.go.wait(WAIT_SECONDS)
            yield akin.item(str(number), distinct(number), {"number": number})


def listed(client: akin.Client) -> list[akin.Item]:
    items: list[akin.Item] = []
    token = ""
    while True:
        page = client.list_items(1000, token)
        items += page.items
        token = page.next_page_token
        if not token:
            assert page.total_size == len(items)
            return items


def import_until_killed(server: RunningServer) -> list[akin.ItemResult]:
    """Kills the server after 500 of 2,000 results; returns all that arrived nevertheless."""
    items = PausedItems(2000, pause=1500)
    with server.client() as client:
        results = client.import_items(items)
        acknowledged = [next(results) for _ in range(500)]
        server.kill()
        items.go.set()
        with pytest.raises(akin.AkinError):
            acknowledged += results
    return acknowledged


def test_kill_during_an_import_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 in an import every acknowledged item is there, once, with its own vector."""
    with RunningServer(tmp_path) as server:
        acknowledged = import_until_killed(server)
    assert {0} == {result.code for result in acknowledged}
    assert 500 <= len(acknowledged) <= 1500
    with RunningServer(tmp_path) as server, server.client() as client:
        items = {item.item_id: item for item in listed(client)}
        assert len(items) == client.list_items(1).total_size == server.wait_for("serving")["items"]
        assert {result.item_id for result in acknowledged} <= items.keys()
        for result in acknowledged:
            assert result.sequence == items[result.item_id].sequence
        for item_id, item in items.items():
            assert distinct(int(item_id)) == item.text
            answer = client.recommend_similar(text=item.text, limit=2)
            (best, second) = answer.recommendations
            assert item_id == best.item_id
            assert pytest.approx(1.0, abs=1e-5) == best.score
            assert second.score < 0.99


def test_killed_import_can_be_repeated(tmp_path: Path) -> None:
    """Importing everything again after a kill completes the catalog, and embeds only the rest."""
    with RunningServer(tmp_path) as server:
        acknowledged = import_until_killed(server)
    with RunningServer(tmp_path) as server, server.client() as client:
        again = client.upsert_item("other id", distinct(int(acknowledged[-1].item_id)))
        assert not again.embedded
        client.delete_item("other id")
        items = PausedItems(2000, pause=2000)
        assert {0} == {result.code for result in client.import_items(items)}
        assert {str(n): distinct(n) for n in range(2000)} == {
            item.item_id: item.text for item in listed(client)
        }


# In a process of its own, because a call that hangs cannot be ended.
IMPORT = """
import sys, akin
with akin.Client(sys.argv[1]) as client:
    assert client.is_serving()
    print("ready", flush=True)
    input()
    def items():
        yield akin.item("1", "text")
        print("sent", flush=True)
    try:
        list(client.import_items(items()))
    except akin.AkinError as exc:
        print(exc.code.name)
"""


def test_kill_before_the_first_result_ends_the_import(tmp_path: Path) -> None:
    """An import whose server is killed before any result ends with UNAVAILABLE."""
    with (
        RunningServer(tmp_path) as server,
        subprocess.Popen(
            [sys.executable, "-c", IMPORT, server.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as importing,
    ):
        assert importing.stdin is not None
        assert importing.stdout is not None
        assert "ready\n" == importing.stdout.readline()
        server.freeze()
        importing.stdin.write("\n")
        importing.stdin.flush()
        assert "sent\n" == importing.stdout.readline()
        server.kill()
        try:
            output, _ = importing.communicate(timeout=5)
        finally:
            importing.kill()
    assert "UNAVAILABLE\n" == output


def test_termination_lets_an_import_finish(tmp_path: Path) -> None:
    """After SIGTERM health says NOT_SERVING, the import under way completes, and the exit is 0."""
    items = PausedItems(750, pause=501)
    with (
        RunningServer(tmp_path, SHUTDOWN_GRACE_SECONDS="30") as server,
        server.client() as client,
        RawClient(server.address) as raw,
    ):
        watch = raw.watch_health()
        assert SERVING == next(watch).status
        results = client.import_items(items)
        first = [next(results) for _ in range(500)]
        server.terminate()
        assert NOT_SERVING == next(watch).status
        watch.cancel()
        items.go.set()
        acknowledged = [*first, *results]
        assert 0 == server.wait()
    assert 750 == len(acknowledged)
    assert {0} == {result.code for result in acknowledged}
    assert "stopped" == server.events("stopped")[0]["event"]
    with RunningServer(tmp_path) as server, server.client() as client:
        assert {each.item_id: each.sequence for each in acknowledged} == {
            item.item_id: item.sequence for item in listed(client)
        }


def test_termination_ends_an_import_that_stalls(tmp_path: Path) -> None:
    """An import that outlasts the grace period is cut; what it had acknowledged stays."""
    items = PausedItems(750, pause=501)
    with (
        RunningServer(tmp_path, SHUTDOWN_GRACE_SECONDS="0.1") as server,
        server.client() as client,
    ):
        results = client.import_items(items)
        acknowledged = {next(results).item_id for _ in range(500)}
        server.terminate()
        with pytest.raises(akin.AkinError):
            list(results)
        items.go.set()
        assert 0 == server.wait()
    with RunningServer(tmp_path) as server, server.client() as client:
        assert acknowledged == {item.item_id for item in listed(client)}


def test_termination_ends_an_idle_import(tmp_path: Path) -> None:
    """A server that ends does not wait for an import on which nothing arrives."""
    with (
        RunningServer(tmp_path, SHUTDOWN_GRACE_SECONDS="600") as server,
        server.client() as client,
    ):
        items = PausedItems(500, pause=251)
        results = client.import_items(items)
        acknowledged = {next(results).item_id for _ in range(250)}
        server.terminate()
        with pytest.raises(akin.AkinError) as caught:
            next(results)
        items.go.set()
        assert (grpc.StatusCode.UNAVAILABLE, "NOT_READY") == (
            caught.value.code,
            caught.value.reason,
        )
        assert 0 == server.wait()
    with RunningServer(tmp_path) as server, server.client() as client:
        assert acknowledged == {item.item_id for item in listed(client)}


def test_second_server_on_the_data_is_refused(server: RunningServer, client: akin.Client) -> None:
    """A second server on the same data ends with exit code 2 and one sentence."""
    code, lines = refused(server.folder)
    message = (
        f"akin serve: another server uses this data folder: {server.folder / 'data'}; stop that "
        "server, or set AKIN_DATA_DIR to another folder (AKIN_WORKERS runs several processes over "
        "one folder)"
    )
    assert (2, [message]) == (code, lines)
    assert client.is_serving()


@pytest.mark.parametrize(
    ("setting", "address", "reason"),
    [
        ("LISTEN", "192.0.2.1:50051", "listen on {}: it is no address of this machine;"),
        ("HEALTH_LISTEN", "{server}", "listen on {}: another process uses the port;"),
        ("METRICS_LISTEN", "{server}", "serve metrics on {}: another process uses the port;"),
    ],
)
def test_the_setting_of_an_address_is_named(
    server: RunningServer, tmp_path: Path, setting: str, address: str, reason: str
) -> None:
    """An address that cannot be used is reported with the reason and its setting."""
    address = address.format(server=server.address)
    code, lines = refused(tmp_path, **{setting: address})
    assert 2 == code
    assert lines[-1].startswith(f"akin serve: cannot {reason.format(address)}")
    assert lines[-1].endswith(f"set AKIN_{setting} to another address")


def test_second_server_on_the_port_is_refused(
    server: RunningServer, client: akin.Client, tmp_path: Path
) -> None:
    """A second server on the same port ends with exit code 2 and one sentence."""
    code, lines = refused(tmp_path, LISTEN=server.address)
    assert 2 == code
    advice = "another process uses the port; stop it, or set AKIN_LISTEN to another address"
    assert f"akin serve: cannot listen on {server.address}: {advice}" == lines[-1]
    assert "Traceback" not in "\n".join(lines)
    assert client.is_serving()


def test_unusable_data_folder_is_refused(tmp_path: Path) -> None:
    """A data folder that cannot be made ends the start with exit code 2 and one sentence."""
    (tmp_path / "file").touch()
    code, lines = refused(tmp_path, DATA_DIR=str(tmp_path / "file" / "data"))
    assert 2 == code
    assert 1 == len(lines)
    assert lines[0].startswith("akin serve: the data folder cannot be used:")


def test_bad_settings_are_told_all_at_once(tmp_path: Path) -> None:
    """Unknown names and bad values of settings are all named before the server gives up."""
    code, lines = refused(
        tmp_path,
        LISTEN="127.0.0.1:99999",
        SHUTDOWN_GRACE_SECONDS="soon",
        LOG_LEVEL="loud",
        LISTN="127.0.0.1:1",
        EMBEDER="auto",
    )
    assert 2 == code
    assert "Traceback" not in "\n".join(lines)
    named = [line.removeprefix("akin serve: ").partition(":")[0] for line in lines]
    assert [
        "AKIN_EMBEDER",
        "AKIN_LISTEN",
        "AKIN_LISTN",
        "AKIN_LOG_LEVEL",
        "AKIN_SHUTDOWN_GRACE_SECONDS",
    ] == sorted(named)
