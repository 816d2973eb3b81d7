from importlib.metadata import version
from pathlib import Path

import pytest
from akin.v1 import recommender_service_pb2 as pb
from support.command import run
from support.recording import RecordingServer
from typer.testing import CliRunner

from service.cli.main import app


@pytest.mark.parametrize(
    "content",
    ["a-key".encode("utf-16"), "clé".encode("latin-1"), "clé".encode(), b"", b"two words\n"],
)
def test_a_file_without_a_key_is_reported(tmp_path: Path, content: bytes) -> None:
    """A key file that contains no API key ends a command with one line and status 2."""
    file = tmp_path / "key"
    file.write_bytes(content)
    done = run("--key-file", file, "status", folder=tmp_path)
    assert 2 == done.status
    assert [f"akin: --key-file: {file} contains no API key"] == done.error_lines


def call(server: RecordingServer, *words: str, **variables: str) -> str:
    """Return the catalog that `akin items list` asks for; `@` stands for the server's address."""
    words = tuple(word.replace("@", server.address) for word in words)
    values = {name: value.replace("@", server.address) for name, value in variables.items()}
    result = CliRunner().invoke(app, words, env={"AKIN_CATALOG": "", "AKIN_ADDRESS": "", **values})
    assert 0 == result.exit_code, result.stderr
    request = server.requests[-1]
    assert isinstance(request, pb.ListItemsRequest)
    return request.catalog


LIST = ("items", "list")


@pytest.mark.parametrize(
    ("words", "variables", "catalog"),
    [
        (("--address", "@", "--catalog", "a", *LIST), {}, "a"),
        ((*LIST, "--address", "@", "--catalog", "a"), {}, "a"),
        (("--catalog", "b", *LIST, "--catalog", "a", "--address", "@"), {}, "a"),
        (("--address", "127.0.0.1:1", *LIST, "--address", "@"), {}, ""),
        (LIST, {"AKIN_ADDRESS": "@", "AKIN_CATALOG": "a"}, "a"),
        (("--catalog", "a", *LIST), {"AKIN_ADDRESS": "@", "AKIN_CATALOG": "b"}, "a"),
        ((*LIST, "--catalog", "a"), {"AKIN_ADDRESS": "@", "AKIN_CATALOG": "b"}, "a"),
        (("--address", "@", *LIST), {"AKIN_ADDRESS": "127.0.0.1:1"}, ""),
        ((*LIST, "--address", "@"), {"AKIN_ADDRESS": "127.0.0.1:1"}, ""),
    ],
)
def test_options_stand_before_or_after_the_command(
    words: tuple[str, ...], variables: dict[str, str], catalog: str
) -> None:
    """An option after the command precedes one before it, which precedes the environment."""
    with RecordingServer() as server:
        assert catalog == call(server, *words, **variables)


def test_a_key_of_the_environment_must_be_a_key(tmp_path: Path) -> None:
    """An invalid key in the environment ends a command with one line, unless a file has a key."""
    variables = {"AKIN_API_KEY": "two words"}
    done = run("status", folder=tmp_path, variables=variables)
    assert (2, ["akin: AKIN_API_KEY contains no API key"]) == (done.status, done.error_lines)
    file = tmp_path / "key"
    file.write_text("a-key")
    words = ("status", "--key-file", file, "--address", "127.0.0.1:1")
    done = run(*words, folder=tmp_path, variables=variables)
    assert "AKIN_API_KEY" not in done.stderr.decode()


def test_the_version_is_printed(tmp_path: Path) -> None:
    """--version prints the version of the distribution."""
    done = run("--version", folder=tmp_path)
    assert (0, f"akin {version('akin-service')}\n".encode()) == (done.status, done.stdout)


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("akin it", {"items"}),
        ("akin items upd", {"update"}),
        ("akin items list --lim", {"--limit"}),
    ],
)
def test_shells_complete_commands_and_options(
    tmp_path: Path, line: str, completions: set[str]
) -> None:
    """A shell that asks for completions gets the commands and options that begin so."""
    variables = {
        "_AKIN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = run(folder=tmp_path, variables=variables)
    assert (0, completions) == (done.status, set(done.stdout.decode().split()))


def test_servers_accept_the_variables_of_commands(tmp_path: Path) -> None:
    """A variable of commands is no unknown setting."""
    variables = {
        "AKIN_ADDRESS": "a:1",
        "AKIN_CATALOG": "a",
        "AKIN_API_KEY": "k",
        "AKIN_CATALOGS": "1",
    }
    done = run("serve", folder=tmp_path, variables=variables)
    assert ["akin serve: AKIN_CATALOGS: there is no such setting"] == done.error_lines


@pytest.mark.parametrize(
    "words",
    [
        ("recommend", "--text", "caf\udce9"),
        ("recommend", "--like", "a", "--like", "caf\udce9"),
        ("search", "caf\udce9"),
        ("items", "get", "caf\udce9"),
        ("items", "list", "--catalog", "caf\udce9"),
        ("--catalog", "caf\udce9", "items", "list"),
        ("items", "list", "--address", "caf\udce9"),
        ("key", "caf\udce9", "--scope", "read"),
    ],
)
def test_arguments_that_are_not_utf8_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Bytes of another encoding in an argument end a command with one line and status 2."""
    done = run(*words, folder=tmp_path)
    assert 2 == done.status
    (line,) = done.error_lines
    assert "Invalid value: caf\ufffd is not UTF-8" in line


def test_a_file_name_that_is_not_utf8_is_accepted(tmp_path: Path) -> None:
    """The name of a file can have any bytes."""
    (tmp_path / "caf\udce9.jsonl").write_text('{"id": "a", "text": "A"}')
    with RecordingServer() as server:
        done = run("import", "caf\udce9.jsonl", "--address", server.address, folder=tmp_path)
    assert 0 == done.status, done.error_lines
