"""`akin status`: whether a server is up, what it holds, and what waits and why."""

from __future__ import annotations

import akin
import typer
from google.protobuf.json_format import MessageToDict

from service.cli import console


def status(
    address: console.Address = console.DEFAULT_ADDRESS, as_json: console.AsJson = False
) -> None:
    """Print whether a server is ready, what it holds and what waits; exit code 1 if it is not."""
    with console.connected(address) as client:
        serving = client.is_serving()
        catalog = client.get_catalog() if serving else None
    if as_json:
        figures = MessageToDict(catalog, preserving_proto_field_name=True) if catalog else None
        console.print_json({"address": address, "serving": serving, "catalog": figures})
    elif catalog is None:
        typer.echo(f"{address}: not serving yet")
    else:
        typer.echo(f"{address}: serving, {catalog.item_count} items")
        _print(catalog)
    if not serving:
        raise typer.Exit(1)


def _print(catalog: akin.Catalog) -> None:
    typer.echo(f"embedding: {console.space_line(catalog.space)}")
    index = catalog.index
    if index.graph_vector_count:
        built = ", more being built" if index.building else ""
        typer.echo(f"index: {index.graph_vector_count} of {index.vector_count} in graphs{built}")
    if catalog.embedding_problem:
        typer.echo(f"embedding fails: {catalog.embedding_problem}")
    for each in catalog.pending:
        typer.echo(f"{each.count} items wait: {each.reason}")
    for day in catalog.usage[:1]:
        typer.echo(f"{day.day}: {day.prompt_tokens} tokens, {day.cost_usd:.4f} US dollars")
