"""`akin catalogs`: creates, changes, lists and deletes catalogs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import akin
import typer
from akin.options import SettingsOptions
from rich.table import Table

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.command_group import CommandGroup
from service.cli.connection import open_client
from service.cli.index_names import name_index
from service.domain.printable import to_line

catalogs_app = CommandGroup(help="Create, change, list and delete catalogs.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the catalog.")]

_VECTOR_STORAGES = {
    "server": akin.VectorStorage.VECTOR_STORAGE_UNSPECIFIED,
    "float32": akin.VectorStorage.VECTOR_STORAGE_FLOAT32,
    "float16": akin.VectorStorage.VECTOR_STORAGE_FLOAT16,
    "int8": akin.VectorStorage.VECTOR_STORAGE_INT8,
}
_INDEX_KINDS = {
    "server": akin.IndexKind.INDEX_KIND_UNSPECIFIED,
    "memory": akin.IndexKind.INDEX_KIND_MEMORY,
    "shared": akin.IndexKind.INDEX_KIND_SHARED,
}
_TEXT_FORMATS = {
    "plain": akin.TextFormat.TEXT_FORMAT_UNSPECIFIED,
    "html": akin.TextFormat.TEXT_FORMAT_HTML,
}
_SIGNALS = {
    "server": akin.SignalMode.SIGNAL_MODE_UNSPECIFIED,
    "auto": akin.SignalMode.SIGNAL_MODE_AUTO,
    "text": akin.SignalMode.SIGNAL_MODE_TEXT,
    "behavior": akin.SignalMode.SIGNAL_MODE_BEHAVIOR,
}

SignalsOption = Annotated[
    Literal["server", "auto", "text", "behavior"] | None,
    typer.Option(
        help="What recommendations are based on: text, and behavior where it predicts better "
        "(auto), text alone, or behavior as soon as anything is learned. server: the server's "
        "setting."
    ),
]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="TYPE=NUMBER",
        help="Weight of a type of interactions, such as ADD_TO_CART=0.7: above 0 for a like, below "
        "0 for a dislike. Repeat it for more types; all others get their defaults.",
    ),
]
BoostOption = Annotated[
    float | None,
    typer.Option(
        "--new-item-boost",
        help="How early new items come, from 0 to 10. With 2, they come no later than text alone "
        "would recommend them.",
    ),
]


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
    for name in ("catalog", "model", "provider", "texts", "index"):
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
            name_index(catalog),
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
        Literal["server", "float32", "float16", "int8"],
        typer.Option(
            help="Storage of vectors in memory; float16 halves the memory, int8 takes 0.31 of "
            "it. server: the server's setting."
        ),
    ] = "server",
    text_format: Annotated[
        Literal["plain", "html"],
        typer.Option(help="Format of the texts of items. html: Akin embeds them without markup."),
    ] = "plain",
    index: Annotated[
        Literal["server", "memory", "shared"],
        typer.Option(
            help="Where the vectors are searched: in the memory of each server, or in a collection "
            "of Qdrant that all servers share. server: the server's setting."
        ),
    ] = "server",
    signals: SignalsOption = None,
    weights: WeightsOption = None,
    new_item_boost: BoostOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Create a catalog, optionally with a model of its own."""
    settings = _read_settings(signals, weights, new_item_boost)
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
            index_kind=_INDEX_KINDS[index],
            **settings,
        )
    if as_json:
        console.print_message(catalog)
    else:
        console.print_line(f"created {catalog.name}: {console.describe_space(catalog.space)}")


@catalogs_app.command("update")
def update_catalog(
    name: NameArgument,
    signals: SignalsOption = None,
    weights: WeightsOption = None,
    new_item_boost: BoostOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Change how a catalog learns from interactions. Other settings keep their values."""
    settings = _read_settings(signals, weights, new_item_boost)
    if not settings:
        raise typer.BadParameter("give --signals, --weight or --new-item-boost")
    with open_client(address) as client:
        catalog = client.update_catalog(name, **settings)
    if as_json:
        console.print_message(catalog)
    else:
        console.print_line(f"updated {catalog.name}: {_describe_settings(catalog.settings)}")


def _read_settings(
    signals: str | None, weights: list[str] | None, new_item_boost: float | None
) -> SettingsOptions:
    """Return the settings that were given.

    Raises:
        typer.BadParameter: a weight is no TYPE=NUMBER, or a type has two.
    """
    settings: SettingsOptions = {}
    if signals is not None:
        settings["signals"] = _SIGNALS[signals]
    if weights:
        settings["interaction_weights"] = _read_weights(weights)
    if new_item_boost is not None:
        settings["new_item_boost"] = new_item_boost
    return settings


def _read_weights(words: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        type_, _, number = word.partition("=")
        try:
            weight = float(number)
        except ValueError:
            message = f"must have the form TYPE=NUMBER, not {to_line(word)}"
            raise typer.BadParameter(message, param_hint="--weight") from None
        if type_ in weights:
            raise typer.BadParameter(f"has {to_line(type_)} twice", param_hint="--weight")
        weights[type_] = weight
    return weights


def _describe_settings(settings: akin.CatalogSettings) -> str:
    names = {number: name for name, number in _SIGNALS.items()}
    weights = ", ".join(
        f"{type_} {weight:g}" for type_, weight in sorted(settings.interaction_weights.items())
    )
    return (
        f"signals {names[settings.signals]}, new item boost {settings.new_item_boost:g}, "
        f"weights {weights}"
    )


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
            items = format_count(client.get_catalog(name).item_count, "item")
            question = f"Delete the catalog {name} with {items}?"
            typer.confirm(to_line(question), abort=True)
        client.delete_catalog(name)
    console.print_line(f"deleted {name}")
