import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import command
from support.server import RunningServer

from service.cli.demo import SAMPLE_BOOKS

COPIES = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Return a server with the sample books and a copy of one of them."""
    folder = tmp_path_factory.mktemp("analyses")
    lines = SAMPLE_BOOKS.read_text().splitlines()
    copied = json.loads(lines[0]) | {"id": "copy"}
    file = folder / "books.jsonl"
    file.write_text("\n".join([*lines, json.dumps(copied)]))
    with RunningServer(folder) as running:
        run(running, "import", str(file))
        yield running


def run(server: RunningServer, *words: str) -> str:
    """Return what a command prints."""
    done = command.run(*words, "--address", server.address, folder=server.folder)
    assert (0, b"") == (done.status, done.stderr)
    return done.stdout.decode()


def run_json(server: RunningServer, *words: str) -> Any:
    return json.loads(run(server, *words, "--json"))


def test_duplicates(server: RunningServer) -> None:
    """A copy is a near-duplicate, in the whole catalog and of an item; the table has its text."""
    for words in ((), ("--item", "copy")):
        (group,) = run_json(server, "duplicates", *words)["groups"]
        assert ["book:dune", "copy"] == [item["item_id"] for item in group["items"]]
    table = run(server, "duplicates")
    assert "1 group of near-duplicates among 337 items" in table
    assert COPIES == table.count("Dune by Frank Herbert")


def test_outliers(server: RunningServer) -> None:
    """The command prints up to --limit outliers with their texts, strongest first."""
    outliers = run_json(server, "outliers", "--limit", "3")["outliers"]
    similarities = [outlier["mean_similarity"] for outlier in outliers]
    assert (3, sorted(similarities)) == (len(similarities), similarities)
    assert outliers[0]["item"]["text"][:15] in run(server, "outliers", "--limit", "1")


def test_clusters_and_their_map(server: RunningServer, tmp_path: Path) -> None:
    """Clusters have keywords and texts of representative items; the map is a PNG of its size."""
    file = tmp_path / "map.png"
    table = run(server, "clusters", "--count", "4", "--plot", str(file))
    assert "4 clusters of 337 items" in table
    assert " by " in table
    content = file.read_bytes()
    assert b"\x89PNG\r\n\x1a\n" == content[:8]
    assert (1320, 1200) == struct.unpack(">II", content[16:24])
    assert 50_000 < len(content) < 1_000_000
    response = run_json(server, "clusters", "--count", "4")
    assert (4, []) == (len(response["clusters"]), response["points"])


def test_a_map_as_a_page_has_titles(server: RunningServer, tmp_path: Path) -> None:
    """A page has the title of every item."""
    file = tmp_path / "map.html"
    run(server, "clusters", "--count", "4", "--plot", str(file))
    page = file.read_text()
    assert 337 == page.count("\\ncluster: ")
    assert '"Gödel, Escher, Bach\\nbook:godel-escher-bach\\ncluster: ' in page


def test_labels(server: RunningServer) -> None:
    """A text gets the labels of similar books, and the table lists the nearest ones."""
    words = ("classify", "--text", "a detective follows a case", "--attribute", "genres")
    assert "Crime" == run_json(server, *words)["labels"][0]["value"]
    table = run(server, *words, "--neighbors", "9")
    assert "predicted from the nearest 9 items" in " ".join(table.split())
    assert "Agatha" in table


def test_passages(server: RunningServer) -> None:
    """The command prints up to --limit passages with their whole texts."""
    passages = run_json(server, "search", "secret messages and ciphers", "--limit", "2")["passages"]
    assert (2, "book:the-code-book") == (len(passages), passages[0]["item_id"])
    output = run(server, "search", "secret messages and ciphers", "--limit", "1")
    assert passages[0]["text"].split() == output.split("\n", 1)[1].split()
