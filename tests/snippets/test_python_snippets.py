"""The Python code in the pages, run as a reader would, against a real server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import WAIT_SECONDS, RunningServer
from support.snippets import ADDRESS, LANGUAGES, ROOT, list_pages, list_runnable, read_snippets

PAGES = list_runnable("python", list_pages())
MARK = "-- end of snippet --"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path) as running:
        yield running


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_snippets_run_and_print(page: Path, server: RunningServer, tmp_path: Path) -> None:
    """The snippets of a page run one after the other as one program, and each prints something."""
    program = tmp_path / "snippets.py"
    parts = [f"{snippet.code}\nprint({MARK!r})\n" for snippet in PAGES[page]]
    program.write_text("".join(parts).replace(ADDRESS, server.address))
    process = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    outputs = process.stdout.split(MARK)[:-1]
    assert len(PAGES[page]) == len(outputs)
    silent = [
        each.name for each, output in zip(PAGES[page], outputs, strict=True) if not output.strip()
    ]
    assert silent == []


def test_every_snippet_has_a_language() -> None:
    """Code blocks are in a language that a test runs, or say that they are not code."""
    known = {*LANGUAGES, "text", "json", "jsonl", "csv", "xml", "yaml", "toml", "mermaid", "sql"}
    unknown = [
        f"{snippet.name} {snippet.language}"
        for page in list_pages()
        for snippet in read_snippets(page)
        if snippet.language not in known
    ]
    assert unknown == []


def test_snippets_are_found() -> None:
    """The README has snippets in Python, and its commands are snippets as well."""
    languages = {snippet.language for snippet in read_snippets(ROOT / "README.md")}
    assert {"python", "sh"} <= languages
    assert ROOT / "README.md" in PAGES
