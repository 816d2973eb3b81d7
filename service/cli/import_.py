"""`akin import`: imports items and users from a JSONL file."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.cli import console, options
from service.cli.connection import open_client
from service.cli.importer import Importer, ImportSummary


def import_file(
    file: Annotated[
        str, typer.Argument(help="JSONL file, or - for standard input.", metavar="FILE")
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Validate the lines and estimate tokens and cost; store nothing."
        ),
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Import items and users from a JSONL file.

    Item: {"id": "sku-1", "text": "trail shoes", "attributes": {"price": 89}, "expire_time":
    "2030-01-31T00:00:00Z"}. Only the id and the text are required.

    User: {"user_id": "ann", "preferences": [{"text": "jogging", "weight": 1}], "liked": ["sku-1"]}.
    Only the id is required.

    Invalid lines are reported by line number and skipped; the command then exits with status 1.
    """
    path = None if file == "-" else Path(file)
    if path is not None and not path.is_file():
        console.exit_with_error(f"the file {file} does not exist", status=2)
    size = path.stat().st_size if path else None
    with (
        open_client(address) as client,
        console.show_bytes("import", size) as bar,
        path.open("rb") if path else nullcontext(sys.stdin.buffer) as lines,
    ):
        summary = Importer(client, bar, dry_run=dry_run).run(lines)
    print_summary(summary, as_json=as_json, dry_run=dry_run)
    if summary.failures:
        raise typer.Exit(1)


def print_summary(summary: ImportSummary, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the result of an import; failures go to standard error unless `as_json`."""
    if as_json:
        failures = [failure._asdict() for failure in summary.failures]
        console.print_json({**asdict(summary), "failures": failures})
        return
    for failure in summary.failures:
        console.print_line(str(failure), to_stderr=True)
    failed = f"{len(summary.failures)} lines failed"
    usage = f"{summary.prompt_tokens} tokens, {console.format_usd(summary.cost_usd)}"
    if dry_run:
        typer.echo(f"{summary.items} items and {summary.users} users are valid; {failed}")
        typer.echo(
            f"{summary.new_texts} new texts: about {usage} (0 if free or if the price is unknown)"
        )
        return
    stored = f"{summary.items} items and {summary.users} users stored"
    typer.echo(f"{stored} in {summary.seconds:.1f} s; {failed}")
    if summary.pending:
        typer.echo(f"{summary.pending} items are pending; akin status prints the reasons")
    if summary.prompt_tokens:
        typer.echo(f"{summary.new_texts} new texts: {usage}")
