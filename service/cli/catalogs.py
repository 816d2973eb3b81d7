"""`akin catalogs`: creates, lists and deletes catalogs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import akin
import typer
from rich.table import Table

from service.cli import console, options
from service.cli.connection import open_client
from service.domain.printable import to_line

catalogs_app = typer.Typer(help="Create, list and delete catalogs.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the catalog.")]

_VECTOR_STORAGES = {
    "server": akin.VectorStorage.VECTOR_STORAGE_UNSPECIFIED,
    "float32": akin.VectorStorage.VECTOR_STORAGE_FLOAT32,
    "float16": akin.VectorStorage.VECTOR_STORAGE_FLOAT16,
}
_TEXT_FORMATS = {
    "plain": akin.TextFormat.TEXT_FORMAT_UNSPECIFIED,
    "html": akin.TextFormat.TEXT_FORMAT_HTML,
}


@catalogs_app.command("list")
def list_catalogs(
    address: options.AddressOption = options.DEFAULT_ADDRESS, as_json: options.JsonOption = False
) -> None:
    """Print all catalogs with their statistics."""
    with open_client(address) as client:
        listed = client.list_catalogs()
    if as_json:
        console.print_json([console.to_dict(catalog) for catalog in listed])
    else:
        console.out.print(_build_table(listed))


def _build_table(listed: Iterable[akin.Catalog]) -> Table:
    table = console.build_table()
    for name in ("catalog", "model", "provider", "texts"):
        table.add_column(name)
    for name in ("dimensions", "items", "users", "pending", "index, MB"):
        table.add_column(name, justify="right")
    for catalog in listed:
        pending = sum(pending_items.item_count for pending_items in catalog.pending_items)
        table.add_row(
            catalog.name,
            catalog.space.model,
            catalog.space.provider,
            "html" if catalog.text_format == _TEXT_FORMATS["html"] else "plain",
            str(catalog.space.dimensions),
            str(catalog.item_count),
            str(catalog.user_count),
            str(pending),
            f"{catalog.index.memory_bytes / 1e6:.1f}",
        )
    return table


@catalogs_app.command("create")
def create_catalog(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    name: NameArgument,
    provider: options.ProviderOption = "",
    model: options.ModelOption = "",
    dimensions: options.DimensionsOption = 0,
    template: options.TemplateOption = "",
    query_template: options.QueryTemplateOption = "",
    vectors: Annotated[
        Literal["server", "float32", "float16"],
        typer.Option(
            help="Storage of vectors in memory; float16 halves the memory. "
            "server: the server's setting."
        ),
    ] = "server",
    text_format: Annotated[
        Literal["plain", "html"],
        typer.Option(help="Format of the texts of items. html: Akin embeds them without markup."),
    ] = "plain",
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Create a catalog, optionally with a model of its own."""
    with open_client(address) as client:
        catalog = client.create_catalog(
            name,
            provider=provider,
            model=model,
            dimensions=dimensions,
            template=template,
            query_template=query_template,
            vector_storage=_VECTOR_STORAGES[vectors],
            text_format=_TEXT_FORMATS[text_format],
        )
    if as_json:
        console.print_message(catalog)
    else:
        console.print_line(f"created {catalog.name}: {console.describe_space(catalog.space)}")


@catalogs_app.command("delete")
def delete_catalog(
    name: NameArgument,
    confirmed: Annotated[
        bool, typer.Option("--yes", help="Delete without asking for confirmation.")
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
) -> None:
    """Delete a catalog with all its items and users."""
    with open_client(address) as client:
        if not confirmed:
            items = client.get_catalog(name).item_count
            question = f"Delete the catalog {name} with {items} items?"
            typer.confirm(to_line(question), abort=True)
        client.delete_catalog(name)
    console.print_line(f"deleted {name}")
