"""The help of each command prints all of its text."""

import re
from collections.abc import Iterator, Sequence

import pytest
import typer
from typer.testing import CliRunner

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
