"""`akin reembed`: changes the embedding model of a catalog while it serves."""

from __future__ import annotations

import time
from typing import Annotated

import akin
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.connection import open_client
from service.domain.printable import to_line

# Interval between two requests for the progress.
POLL_SECONDS = 0.5

# Provider whose model runs in the server and costs nothing.
LOCAL = "local"

_STATES = {
    akin.ReembeddingState.REEMBEDDING_STATE_EMBEDDING: "embedding",
    akin.ReembeddingState.REEMBEDDING_STATE_INDEXING: "indexing",
    akin.ReembeddingState.REEMBEDDING_STATE_SERVING: "serving",
}


def reembed(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    provider: options.ProviderOption = "",
    model: options.ModelOption = "",
    dimensions: options.DimensionsOption = 0,
    template: options.TemplateOption = "",
    query_template: options.QueryTemplateOption = "",
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Print the texts, tokens, cost and time; start nothing."),
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print the progress of the current re-embedding.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Before the switch: drop the new vectors.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="After the switch: serve the previous model again.")
    ] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="After the switch: drop the previous vectors.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Start, and exit without waiting for the switch.")
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Change the embedding model of a catalog while it serves.

    Starts the re-embedding and shows its progress until the switch to the new model. The server
    continues if this command is interrupted.
    """
    if estimate + status + cancel + rollback + commit > 1:
        console.exit_with_error(
            "--estimate, --status, --cancel, --rollback and --commit exclude each other", status=2
        )
    with open_client(address) as client:
        if cancel:
            client.cancel_reembedding()
            console.print_line("cancelled: the new vectors are dropped")
        elif rollback:
            client.rollback_reembedding()
            console.print_line("rolled back: the previous model serves again")
        elif commit:
            client.commit_reembedding()
            console.print_line("committed: the previous vectors are dropped")
        elif status:
            _print_reembedding(client.get_reembedding(), as_json=as_json)
        else:
            model_options = akin.ModelOptions(
                provider=provider,
                model=model,
                dimensions=dimensions,
                template=template,
                query_template=query_template,
            )
            if estimate:
                _print_estimate(client.estimate_reembedding(**model_options), as_json=as_json)
            else:
                started = client.start_reembedding(**model_options)
                reembedding = started if no_wait else _wait_for_switch(client, started)
                _print_reembedding(reembedding, as_json=as_json)


def _wait_for_switch(client: akin.Client, reembedding: akin.Reembedding) -> akin.Reembedding:
    """Show the progress until the switch and return the re-embedding after it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console.err,
        disable=not console.is_progress_visible(),
    ) as bar:
        task = bar.add_task("embedding", total=reembedding.item_count, note="")
        while reembedding.state != akin.ReembeddingState.REEMBEDDING_STATE_SERVING:
            bar.update(
                task,
                description=_STATES[reembedding.state],
                completed=reembedding.embedded_item_count,
                total=reembedding.item_count,
                note=to_line(_describe_error(reembedding)) or _describe_cost(reembedding),
            )
            time.sleep(POLL_SECONDS)
            reembedding = client.get_reembedding()
        bar.update(task, completed=reembedding.item_count, description="serving")
    return reembedding


def _describe_error(reembedding: akin.Reembedding) -> str:
    if not reembedding.error_reason:
        return ""
    return f"{reembedding.error_reason}: {reembedding.error_message}"


def _print_reembedding(reembedding: akin.Reembedding, *, as_json: bool) -> None:
    if as_json:
        console.print_message(reembedding)
        return
    console.print_line(f"from: {console.describe_space(reembedding.from_space)}")
    console.print_line(f"to:   {console.describe_space(reembedding.to_space)}")
    console.print_line(
        f"{_STATES[reembedding.state]}: {reembedding.embedded_item_count:,} of "
        f"{format_count(reembedding.item_count, 'item')} embedded, "
        f"{format_count(reembedding.prompt_token_count, 'token')}, "
        f"{_describe_cost(reembedding)}"
    )
    if reembedding.rejected_item_count:
        rejected = format_count(reembedding.rejected_item_count, "item")
        console.print_line(f"{rejected} rejected by the new model")
    if reembedding.error_reason:
        console.print_line(f"retrying after an error: {_describe_error(reembedding)}")
    if reembedding.state == akin.ReembeddingState.REEMBEDDING_STATE_SERVING:
        console.print_line(
            "the previous vectors are kept: --rollback serves them again, --commit drops them"
        )


def _print_estimate(estimate: akin.EstimateReembeddingResponse, *, as_json: bool) -> None:
    if as_json:
        console.print_message(estimate)
        return
    about = "about " if estimate.sampled else ""
    console.print_line(f"to: {console.describe_space(estimate.space)}")
    console.print_line(
        f"{about}{format_count(estimate.text_count, 'text')}, "
        f"{estimate.cached_text_count:,} of them already embedded; "
        f"about {format_count(estimate.prompt_token_count, 'token')}"
    )
    seconds = estimate.duration.ToMilliseconds() / 1e3
    console.print_line(f"{_describe_estimated_cost(estimate)}, at least {seconds:.1f} s")


def _describe_estimated_cost(estimate: akin.EstimateReembeddingResponse) -> str:
    if estimate.cost_usd:
        return f"about {console.format_usd(estimate.cost_usd)}"
    if estimate.space.provider == LOCAL or not estimate.prompt_token_count:
        return "free"
    return "free, or the price is unknown"


def _describe_cost(reembedding: akin.Reembedding) -> str:
    if reembedding.cost_usd:
        return console.format_usd(reembedding.cost_usd)
    return "free" if reembedding.to_space.provider == LOCAL else "no cost reported"
