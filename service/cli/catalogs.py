"""`akin catalogs`: makes, lists and deletes catalogs."""

from __future__ import annotations

from typing import Annotated, Literal

import akin
import typer
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from service.cli import console

catalogs = typer.Typer(help="Make, list and delete catalogs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The catalog's name.")]
Provider = Annotated[str, typer.Option(help="Who embeds: local, or what the server is set to.")]
Model = Annotated[str, typer.Option(help="The model; by default the server's.")]
Dimensions = Annotated[int, typer.Option(help="The width of vectors; 0 for the model's own.")]
Template = Annotated[str, typer.Option(help="What goes around an item's text, with {text} in it.")]
QueryTemplate = Annotated[str, typer.Option(help="The same for what items are looked for with.")]

_STORAGES = {
    "server": pb.VECTOR_STORAGE_UNSPECIFIED,
    "float32": pb.VECTOR_STORAGE_FLOAT32,
    "float16": pb.VECTOR_STORAGE_FLOAT16,
}


@catalogs.command("list")
def list_(
    address: console.Address = console.DEFAULT_ADDRESS, as_json: console.AsJson = False
) -> None:
    """Print all catalogs with their figures."""
    with console.connected(address) as client:
        found = client.list_catalogs()
    if as_json:
        console.print_json([_plain(each) for each in found])
        return
    table = Table()
    for name in ("catalog", "model", "by"):
        table.add_column(name)
    for name in ("width", "items", "users", "waiting", "index, MB"):
        table.add_column(name, justify="right")
    for each in found:
        figures = (
            each.space.dimensions,
            each.item_count,
            each.user_count,
            sum(waiting.count for waiting in each.pending),
        )
        size = f"{each.index.memory_bytes / 1e6:.1f}"
        words = (each.name, each.space.model, each.space.provider)
        table.add_row(*words, *map(str, figures), size)
    console.out.print(table)


@catalogs.command()
def create(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    name: Name,
    provider: Provider = "",
    model: Model = "",
    dimensions: Dimensions = 0,
    template: Template = "",
    query_template: QueryTemplate = "",
    vectors: Annotated[
        Literal["server", "float32", "float16"],
        typer.Option(help="How its index keeps vectors; float16 takes half the memory."),
    ] = "server",
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Make a catalog, with a model of its own if one is named."""
    with console.connected(address) as client:
        made = client.create_catalog(
            name,
            provider=provider,
            model=model,
            dimensions=dimensions,
            template=template,
            query_template=query_template,
            vector_storage=_STORAGES[vectors],
        )
    if as_json:
        console.print_json(_plain(made))
    else:
        typer.echo(f"{made.name}: {console.space_line(made.space)}")


@catalogs.command()
def delete(
    name: Name,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    address: console.Address = console.DEFAULT_ADDRESS,
) -> None:
    """Delete a catalog with all its items and users."""
    with console.connected(address) as client:
        if not sure:
            count = client.get_catalog(name).item_count
            typer.confirm(f"Delete {name} with its {count} items?", abort=True)
        client.delete_catalog(name)
    typer.echo(f"{name} is deleted")


def _plain(catalog: akin.Catalog) -> object:
    return MessageToDict(catalog, preserving_proto_field_name=True)
