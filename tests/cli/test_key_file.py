import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.api.auth import KeyAuthorizer
from service.cli.key_file import append_key
from service.cli.main import app


def create(file: Path, name: str = "ann") -> Result:
    words = ["key", name, "--scope", "read", "--append-to", str(file)]
    return CliRunner().invoke(app, words)


def test_a_key_is_added_to_a_file(tmp_path: Path) -> None:
    """A new file is private; further keys keep the entries and the mode, and each key works."""
    file = tmp_path / "keys.json"
    first = create(file)
    assert 0o600 == file.stat().st_mode & 0o777
    file.chmod(0o640)
    second = create(file, "bob")
    assert 0o640 == file.stat().st_mode & 0o777
    authorizer = KeyAuthorizer(file)
    names = [authorizer.authenticate(f"Bearer {done.stdout.strip()}") for done in (first, second)]
    assert ["ann", "bob"] == names
    assert f"added ann to {file}\n" == first.stderr
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", '{"keys": 5}', '{"keys": [{}]}', "[]"])
def test_a_file_that_no_server_would_read_is_left_alone(tmp_path: Path, content: str) -> None:
    """A damaged file ends the command with one line, and stays as it is."""
    file = tmp_path / "keys.json"
    file.write_text(content)
    done = create(file)
    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith("akin key: the API keys in ")
    assert content == file.read_text()


def test_no_entry_is_lost_by_commands_at_one_time(tmp_path: Path) -> None:
    """Of keys that are added at the same time, the file has all."""
    file = tmp_path / "keys.json"
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(20)]
    entries = [{"name": "ann", "sha256": digest, "scopes": ["read"]} for digest in digests]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda entry: append_key(file, entry), entries))
    stored = json.loads(file.read_text())["keys"]
    assert sorted(digests) == sorted(entry["sha256"] for entry in stored)
