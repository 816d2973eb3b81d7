"""The help of each command prints all of its text."""

import re
from collections.abc import Iterator, Sequence

import pytest
import typer
from typer.testing import CliRunner

from service.cli.help_texts import join_lines
from service.cli.main import app

ROOT = typer.main.get_command(app)


def list_commands(command: object = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the words of each command, `()` for akin itself."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from list_commands(child, (*path, name))


def find_texts(path: Sequence[str]) -> list[str]:
    """Returns the paragraphs of a command's help, and the help of its options."""
    command: object = ROOT
    for name in path:
        command = getattr(command, "commands")[name]  # noqa: B009  (typer has no public type)
    texts = [getattr(command, "help", None) or ""]
    texts += [getattr(option, "help", None) or "" for option in getattr(command, "params", ())]
    return [part for text in texts for part in re.split(r"\n\s*\n", text)]


def squeeze(text: str) -> str:
    """Returns a text without white space and without the frames around options."""
    return re.sub(r"[\s\u2500-\u257f]+", "", text)


@pytest.mark.parametrize("path", list(list_commands()), ids=" ".join)
def test_help_prints_the_whole_text(path: tuple[str, ...]) -> None:
    """No part of a help text is missing, such as a word in brackets that looks like markup."""
    printed = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "400"}).output
    texts = find_texts(path)
    assert texts
    assert [] == [text for text in texts if squeeze(text) not in squeeze(printed)]


def test_help_breaks_lines_only_where_the_terminal_ends() -> None:
    """A paragraph and an entry of a list take one line, and blank lines stay."""
    text = """Print items.

    A paragraph of
    two lines:

    - an entry of
      two lines
    - another entry
    """
    expected = (
        "Print items.\n\nA paragraph of two lines:\n\n- an entry of two lines\n- another entry"
    )
    assert expected == join_lines(text)


@pytest.mark.parametrize("path", list(list_commands()), ids=" ".join)
def test_no_paragraph_is_broken_on_a_wide_terminal(path: tuple[str, ...]) -> None:
    """Each line of a help text ends a sentence or introduces a list."""
    printed = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "4000"}).output
    texts, _, _ = printed.partition("\u256d")
    usage, *lines = [line.strip() for line in texts.splitlines() if line.strip()]
    assert usage.startswith("Usage: akin")
    assert lines
    assert [] == [line for line in lines if not line.endswith((".", ":"))]
