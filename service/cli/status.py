"""`akin status`: prints the state of a server."""

from __future__ import annotations

import time
from typing import Annotated

import akin
import typer

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.connection import open_client
from service.cli.evaluation_output import describe_learned
from service.cli.evaluation_results import LearnedSummary
from service.cli.index_names import describe_index

# Units of an age, the largest first, in seconds.
_UNITS = {"day": 86_400, "hour": 3_600, "minute": 60}


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
    index = catalog.index
    # A server starts with the documented width of a model while its provider fails.
    is_measured = index.vector_count > 0 or not catalog.embedding_error_reason
    console.print_line(f"model: {console.describe_space(catalog.space, is_measured=is_measured)}")
    if catalog.next_index_kind or catalog.index_kind == akin.IndexKind.INDEX_KIND_SHARED:
        console.print_line(f"index: {describe_index(catalog)}")
    if index.graph_vector_count:
        building = "; building more" if index.building else ""
        console.print_line(
            f"index: {index.graph_vector_count:,} of "
            f"{format_count(index.vector_count, 'vector')} in graphs{building}"
        )
    if catalog.unknown_text_ratio:
        console.print_line(
            f"the local model does not know the script of {catalog.unknown_text_ratio:.0%} of the "
            "latest items: their recommendations are poor, use a multilingual model"
        )
    console.print_line(_describe_behavior(catalog))
    if catalog.click_through:
        console.print_line(_describe_click_through(catalog))
    for problem in problems:
        console.print_line(problem)
    for day in catalog.daily_usage[:1]:
        cost = console.format_usd(day.cost_usd) if day.cost_usd else "no cost reported"
        tokens = format_count(day.prompt_token_count, "token")
        console.print_line(f"embedding usage on {day.day}: {tokens}, {cost}")


def _describe_behavior(catalog: akin.Catalog) -> str:
    """Return in one line what a catalog learned from interactions, and whether it counts."""
    signals = catalog.settings.signals
    if signals == akin.SignalMode.SIGNAL_MODE_TEXT:
        return "behavior: not used, because the catalog has signals text"
    if not catalog.HasField("behavior_model"):
        interactions = format_count(catalog.interaction_count, "interaction")
        return f"behavior: nothing learned; {interactions} recorded"
    model = catalog.behavior_model
    age = _describe_age(time.time() - model.train_time.ToSeconds())
    line = f"behavior: {age}, {describe_learned(LearnedSummary.from_model(model))}"
    if signals == akin.SignalMode.SIGNAL_MODE_BEHAVIOR:
        line += "; the catalog has signals behavior and always uses it"
    return line


def _describe_age(seconds: float) -> str:
    for unit, length in _UNITS.items():
        if seconds >= length:
            return f"{format_count(int(seconds / length), unit)} ago"
    return "less than a minute ago"


def _describe_click_through(catalog: akin.Catalog) -> str:
    responses = sum(counts.response_count for counts in catalog.click_through)
    clicked = sum(counts.clicked_response_count for counts in catalog.click_through)
    share = f" ({clicked / responses:.1%})" if responses else ""
    return (
        f"click-through in the last 30 days: {clicked:,} of "
        f"{format_count(responses, 'response')}{share}"
    )
