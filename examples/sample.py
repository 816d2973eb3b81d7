"""A server with the sample books for the examples.

An example takes the address of a server as its argument. This command imports the books there:

    akin import service/cli/sample/books.jsonl

Without an address, an example starts a server on a free port, with its data in a temporary folder.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import akin

from service.cli.demo import SAMPLE_BOOKS
from service.cli.entry import BROKEN_PIPE_STATUS
from service.cli.formats.detection import open_records
from service.cli.import_lines import ItemLine, parse_line
from service.cli.temporary_server import run_temporary_server


@contextmanager
def client() -> Iterator[akin.Client]:
    """Connect to a server with the books, for examples that only read."""
    if len(sys.argv) > 1:
        with akin.Client(sys.argv[1]) as connected, _end_on_broken_pipe():
            yield connected
    else:
        with _server() as address, akin.Client(address) as connected, _end_on_broken_pipe():
            fill(connected)
            yield connected


@contextmanager
def catalog() -> Iterator[akin.Client]:
    """Connect to a new catalog with the books, for examples that write; delete it at the end."""
    if len(sys.argv) > 1:
        with _catalog(sys.argv[1]) as connected, _end_on_broken_pipe():
            yield connected
    else:
        with _server() as address, _catalog(address) as connected, _end_on_broken_pipe():
            yield connected


def fill(connected: akin.Client) -> None:
    """Store the books."""
    lines = [parse_line(value) for _, value in open_records(str(SAMPLE_BOOKS)).rows]
    items = [line.to_message() for line in lines if isinstance(line, ItemLine)]
    for result in connected.import_items(items):
        if result.code:
            raise SystemExit(f"{result.item_id}: {result.message}")


def title(item: akin.Item) -> str:
    """Return the title of a book."""
    return item.attributes.fields["title"].string_value


@contextmanager
def _end_on_broken_pipe() -> Iterator[None]:
    """End the process without a traceback if nobody reads its output, as behind `| head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes the output again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE_STATUS) from None


@contextmanager
def _server() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="akin-example-") as folder,
        run_temporary_server(folder, embedder="local") as address,
    ):
        yield address


@contextmanager
def _catalog(address: str) -> Iterator[akin.Client]:
    name = f"example-{secrets.token_hex(4)}"
    with akin.Client(address, catalog=name) as connected:
        connected.create_catalog(name)
        try:
            fill(connected)
            yield connected
        finally:
            connected.delete_catalog(name)
