"""`akin status`: prints the state of a server."""

from __future__ import annotations

from typing import Annotated

import akin
import typer

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.connection import open_client


def print_status(
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with status 1 also while items are pending or embedding or a re-embedding "
            "fails.",
        ),
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print the state of a server and of a catalog.

    Exits with status 1 if the server is not ready.
    """
    with open_client(address) as client:
        serving = client.is_serving()
        catalog = client.get_catalog() if serving else None
        problems = _list_problems(client, catalog) if catalog else ["not ready"]
    if as_json:
        stats = console.to_dict(catalog) if catalog else None
        console.print_json(
            {"address": address, "serving": serving, "catalog": stats, "problems": problems}
        )
    elif catalog is None:
        console.print_line(f"{address}: not ready")
    else:
        console.print_line(f"{address}: ready, {format_count(catalog.item_count, 'item')}")
        _print(catalog, problems)
    if not serving or (strict and problems):
        raise typer.Exit(1)


def _list_problems(client: akin.Client, catalog: akin.Catalog) -> list[str]:
    """Return why texts of a catalog have no vectors now, one line for each reason."""
    problems = []
    if reason := catalog.embedding_error_reason:
        problems.append(f"embedding fails: {reason}: {catalog.embedding_error_message}")
    for pending in catalog.pending_items:
        items = format_count(pending.item_count, "pending item")
        problems.append(f"{items}: {pending.reason}: {pending.message}")
    try:
        reembedding = client.get_reembedding()
    except akin.AkinError as exc:
        if exc.reason != "REEMBEDDING_NOT_FOUND":
            raise
    else:
        if reason := reembedding.error_reason:
            problems.append(f"re-embedding fails: {reason}: {reembedding.error_message}")
    return problems


def _print(catalog: akin.Catalog, problems: list[str]) -> None:
    console.print_line(f"model: {console.describe_space(catalog.space)}")
    index = catalog.index
    if index.graph_vector_count:
        building = "; building more" if index.building else ""
        console.print_line(
            f"index: {index.graph_vector_count} of {index.vector_count} vectors in graphs{building}"
        )
    if catalog.unknown_text_ratio:
        console.print_line(
            f"the local model does not know the script of {catalog.unknown_text_ratio:.0%} of the "
            "latest items: their recommendations are poor, use a multilingual model"
        )
    for problem in problems:
        console.print_line(problem)
    for day in catalog.daily_usage[:1]:
        cost = console.format_usd(day.cost_usd) if day.cost_usd else "no cost reported"
        tokens = format_count(day.prompt_token_count, "token")
        console.print_line(f"embedding usage on {day.day}: {tokens}, {cost}")
