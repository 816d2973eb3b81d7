import codecs
from pathlib import Path

import akin
import pytest
from support import processes
from support.provider import ScriptedProvider
from support.server import WAIT_SECONDS, RunningServer, environment
from support.sockets import Listener, Proxy

REMOTE = {
    "EMBEDDER": "openai",
    "EMBEDDING_BASE_URL": "http://embeddings.internal/v1",
    "EMBEDDING_MODEL": "a-model",
}


def run(folder: Path, *command: str, **settings: str) -> tuple[int, list[str]]:
    """Run a command of `akin` that must fail; return its exit status and its lines of errors."""
    status, _output, errors = processes.run(
        command,
        folder=folder,
        environment=environment(folder, **settings),
        seconds=WAIT_SECONDS,
    )
    return status, errors.decode().splitlines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_proxy", "foo"),
        ("HTTPS_PROXY", "http://proxy.internal:port"),
        ("https_proxy", "http://proxy.internal:99999"),
        ("ALL_PROXY", "ftp://proxy.internal:21"),
        ("all_proxy", "socks4://proxy.internal:1080"),
        ("http_proxy", "http://[::1"),
        ("http_proxy", "http://"),
        ("HTTP_PROXY", "http://proxy internal:3128"),
        ("no_proxy", "localhost,fd00::/8"),
        ("NO_PROXY", "example.org:port"),
        ("SSL_CERT_FILE", "no-such-file.pem"),
        ("SSL_CERT_FILE", __file__),
        ("SSL_CERT_FILE", "/"),
        ("SSL_CERT_DIR", "no-such-folder"),
    ],
)
def test_an_unusable_variable_is_reported(tmp_path: Path, name: str, value: str) -> None:
    """A variable that requests cannot use ends the server with status 2 and a line about it."""
    status, lines = run(tmp_path, "serve", **REMOTE, **{name: value})
    assert (2, 1) == (status, len(lines)), lines
    assert lines[0].startswith(f"akin serve: {name}: ")


def test_models_reports_an_unusable_variable(tmp_path: Path) -> None:
    """The command that asks the provider for its models reports the variables like the server."""
    status, lines = run(tmp_path, "models", **REMOTE, http_proxy="foo")
    assert (2, 1) == (status, len(lines)), lines
    assert lines[0].startswith("akin models: http_proxy: ")


def test_a_socks_proxy_requires_its_package(tmp_path: Path) -> None:
    """Without the package that SOCKS needs, a SOCKS proxy is reported, without its password."""
    value = "socks5://someone:secret@proxy.internal:1080"
    status, lines = run(tmp_path, "serve", **REMOTE, all_proxy=value)
    assert (2, 1) == (status, len(lines)), lines
    assert "socksio" in lines[0]
    assert "secret" not in lines[0]


def test_all_unusable_variables_are_reported(tmp_path: Path) -> None:
    """Several unusable variables are reported together, one in each line."""
    status, lines = run(tmp_path, "serve", **REMOTE, http_proxy="foo", SSL_CERT_FILE="no-such")
    assert (2, 2) == (status, len(lines))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("AKIN_LOG_LEVEL=info\n".encode("utf-16"), "UTF-8"),
        ("AKIN_LOG_LEVEL=info\n".encode("utf-16-le"), "UTF-8"),
        ("AKIN_EMBEDDING_TITLE=Müller\n".encode("latin-1"), "UTF-8"),
        (b"AKIN_LOG_LEVEL=info\nthis sets nothing = 'x\n", "line 2"),
        (codecs.BOM_UTF8 + b"AKIN_LOG_LEVEL=loud\n", "AKIN_LOG_LEVEL"),
        (codecs.BOM_UTF8 + b"AKIN_NO_SUCH_SETTING=1\n", "AKIN_NO_SUCH_SETTING"),
        (b"AKIN_LOG_LEVEL=loud\r\n", "AKIN_LOG_LEVEL"),
    ],
)
def test_an_unusable_env_file_is_reported(tmp_path: Path, content: bytes, word: str) -> None:
    """A file .env that cannot be read, or sets a wrong value, ends the server with status 2."""
    (tmp_path / ".env").write_bytes(content)
    status, lines = run(tmp_path, "serve")
    assert (2, 1) == (status, len(lines)), lines
    assert lines[0].startswith("akin serve: ")
    assert word in lines[0]


def test_every_command_reports_an_unusable_env_file(tmp_path: Path) -> None:
    """Each command that reads the settings ends with status 2 if the file .env is unusable."""
    (tmp_path / ".env").write_bytes("AKIN_DATA_DIR=data\n".encode("utf-16"))
    for command in (("models",), ("backup", "copy.sqlite3"), ("restore", "no-such")):
        status, lines = run(tmp_path, *command)
        assert (2, 1) == (status, len(lines)), lines
        assert lines[0].startswith(f"akin {command[0]}: .env: ")


def test_an_env_file_that_is_no_file_is_reported(tmp_path: Path) -> None:
    """A directory with the name .env, and a link that leads to itself, end a command."""
    env_file = tmp_path / ".env"
    env_file.mkdir()
    status, lines = run(tmp_path, "serve")
    assert (2, 1) == (status, len(lines)), lines
    assert ".env" in lines[0]
    env_file.rmdir()
    env_file.symlink_to(".env")
    status, lines = run(tmp_path, "serve")
    assert (2, 1) == (status, len(lines)), lines
    assert ".env" in lines[0]


@pytest.mark.parametrize("names", [("http_proxy", "https_proxy"), ("HTTP_PROXY", "ALL_PROXY")])
def test_a_provider_on_this_machine_needs_no_proxy(tmp_path: Path, names: tuple[str, str]) -> None:
    """Requests to a provider and to a trace collector on this machine do not use the proxy."""
    with ScriptedProvider() as provider, Listener() as collector, Proxy() as proxy:
        settings = {
            **REMOTE,
            "EMBEDDING_BASE_URL": provider.url,
            "TRACES_ENDPOINT": f"http://{collector.address}",
            **dict.fromkeys(names, proxy.url),
        }
        with RunningServer(tmp_path, **settings) as server:
            with akin.Client(server.address) as client:
                assert client.upsert_item("a", "sailing ships").embedded
            assert 0 == server.stop()
        assert provider.requests
        assert collector.connection_count
        assert 0 == proxy.connection_count


def test_another_provider_is_reached_through_the_proxy(tmp_path: Path) -> None:
    """Requests to a provider on another machine use the proxy of the environment."""
    with Proxy() as proxy:
        status, _ = run(tmp_path, "models", **REMOTE, http_proxy=proxy.url)
        assert 1 == status
        assert 1 == proxy.connection_count
        status, _ = run(tmp_path, "models", **REMOTE, http_proxy=proxy.url, no_proxy="internal")
        assert 1 == status
        assert 1 == proxy.connection_count
