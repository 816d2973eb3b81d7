"""What people see: on a terminal, in a pipe, in any encoding, and when the output fails."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.message import Message
from support.command import run, run_on_terminal
from support.processes import AKIN
from support.recording import RecordingServer
from support.scripted import Failure
from support.server import WAIT_SECONDS, RunningServer, environment, free_address
from support.waiting import until

from service.cli.demo import SAMPLE_BOOKS

# Makes a command heed Ctrl-C even if it is ignored here, as in background jobs of a shell.
DEFAULT_SIGNAL = (shutil.which("env") or "env", "--default-signal=INT")

ITEM = "evil:é日"
TEXT = (
    "sea \x1b[31mred\x1b]0;title\x07 \x9b31m \u202egnp \x7f [bold]x[/bold] [/] 日本 é\nnext\tcell"
)
NUMBER = "number:0"

# Introducers and terminators of sequences in the texts; tables are bold with ESC [ 1 m only.
FORBIDDEN = (b"\x1b[31m", b"\x1b]", b"\x07", b"\xc2\x9b", "\u202e".encode(), b"\x7f")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose texts have control characters."""
    with RunningServer(tmp_path_factory.mktemp("server"), EMBEDDER="local") as server:
        with server.client() as client:
            client.upsert_item(ITEM, TEXT, {"kind": TEXT})
            client.upsert_item("twin", TEXT, {"kind": TEXT})
            for number in range(12):
                client.upsert_item(f"number:{number}", f"ship {number} {TEXT}", {"kind": TEXT})
        yield server.address


COMMANDS = [
    ("recommend", "--item", NUMBER),
    ("recommend", "--text", "red sea"),
    ("recommend", "--like", NUMBER, "--explain"),
    ("items", "list"),
    ("items", "get", NUMBER),
    ("search", "red sea"),
    ("classify", "--text", "red sea", "--attribute", "kind"),
    ("duplicates",),
    ("outliers",),
    ("clusters", "--count", "2"),
    ("status",),
    ("catalogs", "list"),
    ("recommend", "--item", "none\x1b[31m\x07"),
    ("catalogs", "create", "none\x1b[31m"),
    ("\x1b[31mbogus",),
    ("evaluate", "--items", "\x1b[31m", "--users", "\x1b]"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_sends_control_characters_to_a_terminal(
    address: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Whatever texts, ids and arguments hold, a terminal receives none of it that it obeys."""
    remote = words[0] not in {"\x1b[31mbogus", "evaluate"}
    _, received = run_on_terminal(
        *words, *(["--address", address] if remote else []), folder=tmp_path, COLUMNS="200"
    )
    assert received
    assert not [sequence for sequence in FORBIDDEN if sequence in received], received
    assert b"Traceback" not in received


ENCODINGS = ["ascii", "latin-1", "ascii:strict", "utf-8"]
PRINTED = [(words, "ascii") for words in COMMANDS[:12]]
PRINTED += [(COMMANDS[5], encoding) for encoding in ENCODINGS[1:]]


@pytest.mark.parametrize(("words", "encoding"), PRINTED, ids=str)
def test_every_encoding_degrades(
    address: str, tmp_path: Path, words: tuple[str, ...], encoding: str
) -> None:
    """A command prints a placeholder for what the encoding lacks, and no error."""
    variables = {"PYTHONIOENCODING": encoding}
    done = run(*words, "--address", address, folder=tmp_path, variables=variables)
    assert (0, []) == (done.status, done.error_lines)
    done.stdout.decode(encoding.partition(":")[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_exact(address: str, tmp_path: Path, encoding: str) -> None:
    """JSON has the stored text in each encoding, and no character that a terminal obeys."""
    done = run(
        *("recommend", "--item", "twin", "--limit", "1", "--address", address, "--json"),
        folder=tmp_path,
        variables={"PYTHONIOENCODING": encoding},
    )
    document = json.loads(done.stdout.decode(encoding.partition(":")[0]))
    (recommendation,) = document["recommendations"]
    assert (ITEM, TEXT) == (recommendation["item_id"], recommendation["item"]["text"])
    assert not [sequence for sequence in FORBIDDEN if sequence in done.stdout]


def test_messages_of_the_server_are_one_safe_line(tmp_path: Path) -> None:
    """A pending reason and a re-embedding's error have placeholders, in lines and in a bar."""
    space = akin.EmbeddingSpace(provider="openai\x1b[31m", model="m\x1b[31m[bold]", dimensions=3)
    catalog = akin.Catalog(
        space=space,
        pending_items=[akin.PendingItems(reason="R", message="bad\x1b[31m\nline", item_count=2)],
        embedding_error_reason="E",
        embedding_error_message="[/x] \x9b31m",
    )
    reembedding = akin.Reembedding(
        state=akin.ReembeddingState.REEMBEDDING_STATE_EMBEDDING,
        to_space=space,
        item_count=4,
        error_reason="E",
        error_message="[/x]\x1b[31m",
    )
    done = akin.Reembedding(state=akin.ReembeddingState.REEMBEDDING_STATE_SERVING, to_space=space)
    responses: dict[str, list[Message]] = {
        "GetCatalog": [pb.GetCatalogResponse(catalog=catalog)],
        "StartReembedding": [pb.StartReembeddingResponse(reembedding=reembedding)],
        "GetReembedding": [pb.GetReembeddingResponse(reembedding=done)],
    }
    with RecordingServer(responses) as server:
        options = ("--address", server.address)
        lines = run("reembed", "--status", *options, folder=tmp_path).stdout.decode().splitlines()
        status, received = run_on_terminal("reembed", *options, folder=tmp_path)
    assert "to:   m␛[31m[bold] (openai␛[31m), 3 dimensions" in lines
    assert 0 == status, received
    assert b"\x1b[31m" not in received.replace(b"\x1b[31m]", b"")
    assert "␛[31m".encode() in received


def test_an_error_of_the_server_is_one_safe_line(tmp_path: Path) -> None:
    """The message of an error has placeholders and no line breaks."""
    failure = Failure(grpc.StatusCode.INVALID_ARGUMENT, message="bad\x1b[31m\nvalue [/x]")
    with RecordingServer(failure=failure) as server:
        done = run("outliers", "--address", server.address, folder=tmp_path)
    (line,) = done.error_lines
    assert (1, True) == (done.status, "bad␛[31m" in line)


PIPED = [("status",), ("items", "list"), ("items", "list", "--json"), ("items", "get", NUMBER)]
PIPED += [("export", "-"), ("recommend", "--item", NUMBER, "--json"), ("clusters",)]


@pytest.mark.parametrize("words", [("--help",), ("key", "ann", "--scope", "read"), *PIPED])
def test_a_broken_pipe_is_silent(address: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A command whose reader has gone prints nothing, and has the status of SIGPIPE in a shell."""
    remote = ["--address", address] if words in PIPED else []
    script = 'exec 3>&1; { "$@" 2> error; echo "$?" >&3; } | true; cat error >&3'
    done = run(*words, *remote, folder=tmp_path, script=script)
    lines = done.stdout.decode().splitlines()
    assert "141" == lines[0]
    assert len(lines) == 1 + (words[0] == "key")  # the key itself goes to standard error


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_first_line_of_a_long_list(address: str, tmp_path: Path, form: tuple[str, ...]) -> None:
    """A reader that ends after one line ends the command, whose list is longer than the pipe."""
    items = (akin.item(f"n{number}", "tea " * 20) for number in range(2_000))
    name = f"long{len(form)}"
    with akin.Client(address, catalog=name) as client:
        client.create_catalog(name)
        assert 2_000 == len(list(client.import_items(items)))
    words = ("items", "list", "--limit", "0", *form, "--catalog", name, "--address", address)
    script = 'exec 3>&1; { "$@" 2> error; echo "$?" >&3; } | head -1 > line; cat error >&3'
    # Python's unbuffered streams do not notice a write that a pipe accepts in part.
    done = run(*words, folder=tmp_path, script=script, variables={"PYTHONUNBUFFERED": ""})
    assert [b"141"] == done.stdout.splitlines()
    assert 1 == len((tmp_path / "line").read_text().splitlines())


@pytest.mark.parametrize(
    ("redirections", "status", "lines"),
    [
        (">&-", 0, 1),
        ("2>&-", 0, 0),
        ("<&- >&- 2>&-", 0, 0),
        (">/dev/full", 1, 2),
        ("2>/dev/full", 1, 0),
        (">/dev/full 2>&1", 1, 0),
    ],
)
def test_output_that_cannot_be_written(
    tmp_path: Path, redirections: str, status: int, lines: int
) -> None:
    """A closed stream drops output; a full disk is an error in one line."""
    done = run("key", "ann", "--scope", "read", folder=tmp_path, script=f'"$@" {redirections}')
    assert (status, lines) == (done.status, len(done.error_lines)), done.stderr
    if lines == 2:
        assert "akin: cannot write the output: No space left on device" == done.error_lines[1]


def test_a_server_with_closed_streams_serves(tmp_path: Path) -> None:
    """A server that a daemon starts without standard streams does not write into its database."""
    command = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", *AKIN, "serve"]
    address = free_address()
    variables = environment(tmp_path, EMBEDDER="local", LISTEN=address)
    process = subprocess.Popen(command, cwd=tmp_path, env=variables)
    database = tmp_path / "data" / "akin.sqlite3"
    try:
        until(lambda: _is_listening(address))
        process.terminate()
        assert 0 == process.wait(WAIT_SECONDS)
    finally:
        process.kill()
    assert b"SQLite format 3\0" == database.read_bytes()[:16]


@pytest.mark.parametrize("words", [("reembed",), ("outliers",), ("import", SAMPLE_BOOKS)])
def test_an_interruption_ends_with_one_line(tmp_path: Path, words: tuple[str | Path, ...]) -> None:
    """SIGINT during a call ends a command with status 130 and one line."""
    with RecordingServer(held=True) as server:
        process = subprocess.Popen(
            [*DEFAULT_SIGNAL, *AKIN, *words, "--address", server.address],
            cwd=tmp_path,
            env=environment(tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            server.wait_for_request()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=WAIT_SECONDS)
        finally:
            process.kill()
    assert (130, "akin: interrupted\n") == (process.returncode, error)


def _is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) == 0
