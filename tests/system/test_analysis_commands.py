import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import WAIT_SECONDS, RunningServer

from service.cli.demo import SAMPLE

COPIES = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the sample books, and one of them again."""
    folder = tmp_path_factory.mktemp("analyses")
    lines = SAMPLE.read_text().splitlines()
    copied = json.loads(lines[0]) | {"id": "copy"}
    file = folder / "books.jsonl"
    file.write_text("\n".join([*lines, json.dumps(copied)]))
    with RunningServer(folder) as running:
        run(running, "import", str(file))
        yield running


def run(server: RunningServer, *words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "service", *words, "--address", server.address],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def told(server: RunningServer, *words: str) -> Any:
    return json.loads(run(server, *words, "--json"))


def test_duplicates(server: RunningServer) -> None:
    """The copy is found, in the whole catalog and around its original; the table has its text."""
    for words in ((), ("--item", "copy")):
        (group,) = told(server, "duplicates", *words)["groups"]
        assert ["book:dune", "copy"] == [each["item_id"] for each in group["items"]]
    table = run(server, "duplicates")
    assert "1 group of duplicates among 337 items" in table
    assert COPIES == table.count("Dune by Frank Herbert")


def test_outliers(server: RunningServer) -> None:
    """As many as wanted, with their texts, oddest first."""
    found = told(server, "outliers", "--limit", "3")["outliers"]
    scores = [each["score"] for each in found]
    assert (3, sorted(scores)) == (len(scores), scores)
    assert found[0]["item"]["text"][:15] in run(server, "outliers", "--limit", "1")


def test_clusters_and_their_map(server: RunningServer, tmp_path: Path) -> None:
    """Groups have words and texts of their middles; the map is a picture of a sensible size."""
    picture = tmp_path / "map.png"
    table = run(server, "clusters", "--count", "4", "--plot", str(picture))
    assert "4 groups among 337 items" in table
    assert " by " in table
    content = picture.read_bytes()
    assert b"\x89PNG\r\n\x1a\n" == content[:8]
    assert (1320, 1200) == struct.unpack(">II", content[16:24])
    assert 50_000 < len(content) < 1_000_000
    response = told(server, "clusters", "--count", "4")
    assert (4, []) == (len(response["clusters"]), response["points"])


def test_labels(server: RunningServer) -> None:
    """A text gets labels from like books, and the table tells which these are."""
    words = ("classify", "--text", "a detective follows a case", "--attribute", "genres")
    assert "Crime" == told(server, *words)["labels"][0]["value"]
    table = run(server, *words, "--neighbors", "9")
    assert "9 items voted" in table
    assert "Agatha" in table


def test_passages(server: RunningServer) -> None:
    """Passages are as many as wanted, and their texts are shown whole."""
    found = told(server, "search", "secret messages and ciphers", "--limit", "2")["passages"]
    assert (2, "book:the-code-book") == (len(found), found[0]["item_id"])
    shown = run(server, "search", "secret messages and ciphers", "--limit", "1")
    assert found[0]["text"].split() == shown.split("\n", 1)[1].split()
