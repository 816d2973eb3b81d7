"""Output of imports."""

from __future__ import annotations

import typer

from service.cli import console
from service.cli.analysis_output import format_count
from service.cli.importer import ImportSummary


def describe_stored(summary: ImportSummary, state: str) -> str:
    """Return the numbers of what was imported; `state` says what happened to items and users."""
    parts = []
    interactions, duplicates = summary.interactions, summary.duplicate_interactions
    if summary.items or summary.users:
        items, users = format_count(summary.items, "item"), format_count(summary.users, "user")
        parts.append(f"{items} and {users} {state}")
    if interactions or duplicates:
        if state == "stored":
            state = "recorded"
        elif interactions == 1:
            state = state.replace("are", "is")
        parts.append(f"{format_count(interactions, 'interaction')} {state}")
    if duplicates:
        parts.append(format_count(duplicates, "duplicate"))
    return ", ".join(parts) or f"no items, users or interactions {state}"


def print_summary(summary: ImportSummary, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the result of an import; failures go to standard error unless `as_json`."""
    if as_json:
        console.print_json(summary.to_dict())
        return
    for failure in (*summary.failures, *summary.failures.further()):
        console.print_line(str(failure), to_stderr=True)
    failed = f"{format_count(len(summary.failures), 'line')} failed"
    tokens = format_count(summary.prompt_tokens, "token")
    usage = f"{tokens}, {console.format_usd(summary.cost_usd)}"
    texts = format_count(summary.embedded_texts, "text")
    if dry_run:
        typer.echo(f"{describe_stored(summary, 'are valid')}; {failed}")
        if summary.items or summary.users or not summary.interactions:
            typer.echo(f"{texts} to embed: about {usage} (0 if free or if the price is unknown)")
        return
    typer.echo(f"{describe_stored(summary, 'stored')} in {summary.seconds:.1f} s; {failed}")
    if summary.pending:
        pending = format_count(summary.pending, "pending item")
        typer.echo(f"{pending}; akin status prints the reasons")
    if summary.prompt_tokens:
        typer.echo(f"{texts} embedded, {summary.reused_texts:,} reused: {usage}")
