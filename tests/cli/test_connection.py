from pathlib import Path

import pytest
from support.command import run


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
