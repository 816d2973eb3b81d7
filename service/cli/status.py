"""`akin status`: whether a server is up, and what it holds."""

from __future__ import annotations

import typer

from service.cli import console


def status(
    address: console.Address = console.DEFAULT_ADDRESS, as_json: console.AsJson = False
) -> None:
    """Print whether a server is ready and how many items it holds; exit code 1 if it is not."""
    with console.connected(address) as client:
        serving = client.is_serving()
        items = client.list_items(page_size=1).total_size if serving else None
    if as_json:
        console.print_json({"address": address, "serving": serving, "items": items})
    else:
        typer.echo(f"{address}: {f'serving, {items} items' if serving else 'not serving yet'}")
    if not serving:
        raise typer.Exit(1)
