"""`akin console`: the console on this machine for a server elsewhere."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.browser import console_command, require_console
from support.command import run
from support.security import entry, write_keys
from support.server import WAIT_SECONDS, RunningServer, free_address

CATALOGS = "/v1/catalogs"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that asks for a key."""
    require_console()
    folder = tmp_path_factory.mktemp("guarded")
    write_keys(folder / "keys.json", entry("reader", "read"), entry("writer", "write"))
    with RunningServer(folder, API_KEYS=str(folder / "keys.json"), EMBEDDER="local") as running:
        yield running


@contextmanager
def console(
    address: str, folder: Path, **variables: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A running console and a client of it."""
    with (
        console_command(address, folder, **variables) as (url, process),
        httpx.Client(base_url=url, timeout=WAIT_SECONDS, trust_env=False) as client,
    ):
        yield client, process


def test_key_of_the_command_is_used(guarded: RunningServer, tmp_path: Path) -> None:
    """A call without a key has the one of the command, and a key of the browser goes first."""
    with console(guarded.address, tmp_path, AKIN_API_KEY="reader-key") as (http, _):
        assert "<title>Akin console</title>" in http.get("/").text
        assert "default" == http.get(CATALOGS).json()["catalogs"][0]["name"]
        other = http.get(CATALOGS, headers={"authorization": "Bearer wrong"})
        assert 401 == other.status_code


def test_pages_learn_the_address_of_the_server(guarded: RunningServer, tmp_path: Path) -> None:
    """Programs call the server itself, and need the key that the command adds; it is not shown."""
    with console(guarded.address, tmp_path, AKIN_API_KEY="reader-key") as (http, _):
        answer = http.get("/connection.json")
        assert {"address": guarded.address, "tls": False, "key": True} == answer.json()
        assert "reader-key" not in answer.text


def test_other_sites_cannot_use_the_key(guarded: RunningServer, tmp_path: Path) -> None:
    """A request by another name of this machine, or from another site, is refused."""
    with console(guarded.address, tmp_path, AKIN_API_KEY="reader-key") as (http, _):
        for headers in ({"host": "akin.example"}, {"origin": "http://akin.example"}):
            assert 403 == http.get(CATALOGS, headers=headers).status_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_console(
    guarded: RunningServer, tmp_path: Path, number: signal.Signals
) -> None:
    """The console ends as it should when it is interrupted, even with an open connection."""
    with console(guarded.address, tmp_path) as (http, process):
        http.get("/")
        process.send_signal(number)
        assert 0 == process.wait(WAIT_SECONDS)


def test_missing_server_is_an_answer(tmp_path: Path) -> None:
    """Without a server at the address, calls are UNAVAILABLE and the pages still open."""
    require_console()
    with console(free_address(), tmp_path) as (http, _):
        assert 200 == http.get("/").status_code
        assert 503 == http.get(CATALOGS).status_code


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        (["--listen", "0.0.0.0:0"], {}, "must listen on this machine"),
        (["--listen", "127.0.0.1:99999"], {}, "must be host:port, with a port from 0 to 65535"),
        (["--listen", "127.0.0.1:"], {}, "must be host:port"),
        (["--listen", "8080"], {}, "must be host:port"),
        (["--address", "akin.example:50051"], {"AKIN_API_KEY": "a"}, "use --tls"),
    ],
)
def test_key_does_not_leave_the_machine_in_plain_text(
    tmp_path: Path, options: list[str], variables: dict[str, str], message: str
) -> None:
    """Other machines cannot use the key of the command, and networks do not see it."""
    done = run("console", *options, folder=tmp_path, variables=variables)
    assert done.status in {1, 2}
    assert message in done.stderr.decode()
