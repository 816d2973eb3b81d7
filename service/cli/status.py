"""`akin status`: prints the state of a server."""

from __future__ import annotations

import akin
import typer

from service.cli import console, options
from service.cli.connection import open_client


def print_status(
    address: options.AddressOption = options.DEFAULT_ADDRESS, as_json: options.JsonOption = False
) -> None:
    """Print the state of a server and of a catalog.

    Exits with status 1 if the server is not ready.
    """
    with open_client(address) as client:
        serving = client.is_serving()
        catalog = client.get_catalog() if serving else None
    if as_json:
        stats = console.to_dict(catalog) if catalog else None
        console.print_json({"address": address, "serving": serving, "catalog": stats})
    elif catalog is None:
        typer.echo(f"{address}: not ready")
    else:
        typer.echo(f"{address}: ready, {catalog.item_count} items")
        _print(catalog)
    if not serving:
        raise typer.Exit(1)


def _print(catalog: akin.Catalog) -> None:
    typer.echo(f"model: {console.describe_space(catalog.space)}")
    index = catalog.index
    if index.graph_vector_count:
        building = "; building more" if index.building else ""
        typer.echo(
            f"index: {index.graph_vector_count} of {index.vector_count} vectors in graphs{building}"
        )
    if catalog.embedding_error_reason:
        typer.echo(
            f"embedding fails: {catalog.embedding_error_reason}: {catalog.embedding_error_message}"
        )
    if catalog.unknown_text_ratio:
        typer.echo(
            f"the local model does not know the script of {catalog.unknown_text_ratio:.0%} of the "
            "latest items: their recommendations are poor, use a multilingual model"
        )
    for pending in catalog.pending_items:
        typer.echo(f"{pending.item_count} pending items: {pending.reason}: {pending.message}")
    for day in catalog.daily_usage[:1]:
        cost = f"{day.prompt_token_count} tokens, {day.cost_usd:.4f} US dollars"
        typer.echo(f"embedding usage on {day.day}: {cost}")
