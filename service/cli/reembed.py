"""`akin reembed`: gives a catalog another model while it goes on serving."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import akin
import typer
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli import console
from service.cli.catalogs import Dimensions, Model, Provider, QueryTemplate, Template

LOOK_SECONDS = 0.5

_STATES = {
    pb.REEMBEDDING_STATE_EMBEDDING: "embedding",
    pb.REEMBEDDING_STATE_INDEXING: "indexing",
    pb.REEMBEDDING_STATE_SWITCHED: "switched",
}


def reembed(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    provider: Provider = "",
    model: Model = "",
    dimensions: Dimensions = 0,
    template: Template = "",
    query_template: QueryTemplate = "",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only tell texts, tokens, price and time.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only tell how far it is.")] = False,
    back: Annotated[
        bool, typer.Option("--back", help="End it; the former model serves, again if need be.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Drop the former vectors, after the switch.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start, and leave.")] = False,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Give a catalog another model; it goes on serving, and switches when all is embedded.

    The server goes on if this command is ended; --status tells how far it is.
    """
    if estimate + status + back + finish > 1:
        typer.echo("akin: give one of --estimate, --status, --back and --finish", err=True)
        raise typer.Exit(2)
    with console.connected(address) as client:
        if back:
            client.cancel_reembedding()
            typer.echo("the former model serves")
        elif finish:
            client.finish_reembedding()
            typer.echo("the former vectors are dropped")
        elif status:
            _tell(client.get_reembedding(), as_json=as_json)
        else:
            options = akin.ModelOptions(
                provider=provider,
                model=model,
                dimensions=dimensions,
                template=template,
                query_template=query_template,
            )
            if estimate:
                _tell_estimate(client.estimate_reembedding(**options), as_json=as_json)
                return
            started = client.start_reembedding(**options)
            _tell(started if no_wait else _watched(client, started), as_json=as_json)


def _watched(client: akin.Client, state: akin.Reembedding) -> akin.Reembedding:
    """Shows the progress until the switch."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not sys.stderr.isatty()
    with Progress(
        *columns,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console.err,
        disable=hidden,
    ) as bar:
        task = bar.add_task("embedding", total=state.item_count, note="")
        while state.state != pb.REEMBEDDING_STATE_SWITCHED:
            bar.update(
                task,
                description=_STATES[state.state],
                completed=state.embedded_item_count,
                total=state.item_count,
                note=state.problem or f"{state.cost_usd:.4f} US dollars",
            )
            time.sleep(LOOK_SECONDS)
            state = client.get_reembedding()
        bar.update(task, completed=state.item_count, description="switched")
    return state


def _tell(state: akin.Reembedding, *, as_json: bool) -> None:
    if as_json:
        console.print_json(_plain(state))
        return
    typer.echo(f"from: {console.space_line(state.from_space)}")
    typer.echo(f"to:   {console.space_line(state.to_space)}")
    typer.echo(
        f"{_STATES[state.state]}: {state.embedded_item_count} of {state.item_count} items, "
        f"{state.prompt_tokens} tokens, {state.cost_usd:.4f} US dollars so far"
    )
    if state.rejected_item_count:
        typer.echo(f"{state.rejected_item_count} items are refused by the new model")
    if state.problem:
        typer.echo(f"it does not get on: {state.problem}")
    if state.state == pb.REEMBEDDING_STATE_SWITCHED:
        typer.echo("the former vectors are kept: --back goes back, --finish drops them")


def _tell_estimate(estimate: pb.EstimateReembeddingResponse, *, as_json: bool) -> None:
    if as_json:
        console.print_json(_plain(estimate))
        return
    about = "about " if estimate.sampled else ""
    typer.echo(f"to: {console.space_line(estimate.space)}")
    typer.echo(
        f"{about}{estimate.texts} texts, of which {estimate.cached_texts} are embedded already; "
        f"about {estimate.prompt_tokens} tokens"
    )
    typer.echo(
        f"about {estimate.cost_usd:.4f} US dollars (0: price not known, or free), "
        f"{estimate.seconds:.1f} s at best"
    )


def _plain(message: Message) -> object:
    return MessageToDict(message, preserving_proto_field_name=True)
