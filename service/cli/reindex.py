"""`akin reindex`: changes the kind of index of a catalog while it serves."""

from __future__ import annotations

import time
from typing import Annotated

import akin
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from service.cli import console, options
from service.cli.connection import open_client
from service.cli.index_names import INDEX_KINDS, IndexName, describe_index

# Interval between two requests for the state of the change.
CHECK_INTERVAL_SECONDS = 0.5

_PHASES: dict[IndexName, str] = {
    "memory": "loading into memory",
    "shared": "building the shared index",
}


def reindex(
    to: Annotated[
        IndexName,
        typer.Option(
            help="Where the vectors are searched: in the memory of each server, or in a collection "
            "of Qdrant that all servers share. The present kind cancels a change."
        ),
    ],
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Change the kind of index of a catalog while it serves.

    Starts the change and shows its progress until the server serves the catalog from the new index.
    The server continues if this command is interrupted.
    """
    with open_client(address) as client:
        started = client.reindex(INDEX_KINDS[to])
        catalog = _wait_until_served(client, started, to)
    if catalog.index_kind != INDEX_KINDS[to]:
        console.exit_with_error(f"the change was cancelled: the index is {describe_index(catalog)}")
    if as_json:
        console.print_message(catalog)
    else:
        console.print_line(f"{catalog.name}: the index is {describe_index(catalog)}")


def _wait_until_served(client: akin.Client, catalog: akin.Catalog, to: IndexName) -> akin.Catalog:
    """Show the progress until a catalog does not change its index any more, and return it then."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console.err,
        disable=not console.is_progress_visible(),
    ) as bar:
        # Only the progress of a shared index is known.
        task = bar.add_task(_PHASES[to], total=1.0 if to == "shared" else None)
        while catalog.next_index_kind:
            bar.update(task, completed=catalog.index_progress)
            time.sleep(CHECK_INTERVAL_SECONDS)
            catalog = client.get_catalog()
    return catalog
