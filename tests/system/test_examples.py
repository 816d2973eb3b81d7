import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import akin
import pytest
from support.server import WAIT_SECONDS, RunningServer

from service.cli.demo import SAMPLE_BOOKS
from service.cli.entry import BROKEN_PIPE_STATUS

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUT = re.compile(r"^\$ \S+ examples/(\w+)\.py\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""An example of the README with the first lines that it prints; a long line ends with `...`."""

TIMED = {"another_model"}
"""Examples whose output shows a progress, which depends on the time."""

SENTENCES = {
    "recommendations": "Dune Messiah",
    "semantic_search": "Kon-Tiki (1948)",
    "retrieval_for_generation": "[1] book:",
    "duplicates": "Near-duplicates of book:emma:\n  supplier-1:emma",
    "outliers": "2 of the first 2 are planted.",
    "clusters": "336 books in 8 clusters",
    "classification": "for 65 of 100 books",
    "another_model": "serving: 336 of 336",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("examples")) as running:
        run("-m", "service", "import", str(SAMPLE_BOOKS), "--address", running.address)
        yield running


def run(*arguments: str) -> str:
    """Run Python with these arguments, and return its output."""
    process = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
    )
    assert (0, "") == (process.returncode, process.stderr)
    return process.stdout


def count_catalogs(client: akin.Client) -> list[tuple[str, int, int]]:
    """The catalogs with their numbers of items and users."""
    return [
        (catalog.name, catalog.item_count, catalog.user_count) for catalog in client.list_catalogs()
    ]


def test_every_example_is_tested() -> None:
    """Every script in the folder is tested and listed in its README."""
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"sample"}
    assert names == SENTENCES.keys()
    readme = (EXAMPLES / "README.md").read_text()
    assert [] == [name for name in names if f"]({name}.py)" not in readme]


@pytest.mark.parametrize("name", SENTENCES)
def test_an_example_prints_its_result(server: RunningServer, name: str) -> None:
    """An example prints what the README shows, and leaves the catalogs of the server unchanged."""
    with server.client() as client:
        before = count_catalogs(client)
        output = run(str(EXAMPLES / f"{name}.py"), server.address)
        assert SENTENCES[name] in output
        assert before == count_catalogs(client)
    shown = dict(OUTPUT.findall((EXAMPLES / "README.md").read_text()))[name].splitlines()
    if name not in TIMED:
        lines = output.splitlines()[: len(shown)]
        assert shown == [cut(line, expected) for line, expected in zip(lines, shown, strict=True)]


def cut(line: str, shown: str) -> str:
    """Return a line as the README shows it: up to the `...` if it shows only the beginning."""
    beginning = shown.removesuffix("...")
    return shown if beginning != shown and line.startswith(beginning) else line


def test_an_example_starts_a_server() -> None:
    """An example without an address starts its own server."""
    output = run(str(EXAMPLES / "semantic_search.py"))
    assert SENTENCES["semantic_search"] in output


@pytest.mark.parametrize("name", ["clusters", "duplicates"])
def test_an_example_ends_without_a_traceback_if_nobody_reads(
    server: RunningServer, name: str
) -> None:
    """With a closed pipe as output, an example cleans up and ends with the status of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    with server.client() as client:
        before = count_catalogs(client)
        process = subprocess.run(
            [sys.executable, str(EXAMPLES / f"{name}.py"), server.address],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            timeout=WAIT_SECONDS,
        )
        os.close(writer)
        assert (BROKEN_PIPE_STATUS, b"") == (process.returncode, process.stderr)
        assert before == count_catalogs(client)
