import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import akin
import pytest
from support.server import WAIT_SECONDS, RunningServer

from service.cli.demo import SAMPLE_BOOKS

EXAMPLES = Path(__file__).parents[2] / "examples"
SENTENCES = {
    "recommendations": "Dune Messiah",
    "semantic_search": "Kon-Tiki (1948)",
    "retrieval_for_generation": "[1] book:",
    "duplicates": "book:emma was there first, and is repeated by\n  supplier-1:emma",
    "outliers": "2 of the first 2 are planted.",
    "clusters": "336 books in 8 groups",
    "classification": "for 64 of 100 books",
    "another_model": "switched: 336 of 336",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("examples")) as running:
        run("-m", "service", "import", str(SAMPLE_BOOKS), "--address", running.address)
        yield running


def run(*words: str) -> str:
    """What a command of Python prints."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def state(client: akin.Client) -> list[tuple[str, int, int]]:
    """What catalogs there are, and how many items and users they have."""
    return [(each.name, each.item_count, each.user_count) for each in client.list_catalogs()]


def test_every_example_is_tried() -> None:
    """What lies in the folder is what is tried and what its README lists."""
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"sample"}
    assert names == SENTENCES.keys()
    listed = (EXAMPLES / "README.md").read_text()
    assert [] == [name for name in names if f"]({name}.py)" not in listed]


@pytest.mark.parametrize("name", SENTENCES)
def test_example_prints_what_it_promises(server: RunningServer, name: str) -> None:
    """Each prints its sentence, and leaves the server as it was."""
    with server.client() as client:
        before = state(client)
        assert SENTENCES[name] in run(str(EXAMPLES / f"{name}.py"), server.address)
        assert before == state(client)


def test_example_without_a_server() -> None:
    """Without an address an example starts a server of its own."""
    printed = run(str(EXAMPLES / "semantic_search.py"))
    assert SENTENCES["semantic_search"] in printed
