"""`akin import`: imports items and users from a file."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import akin
import typer

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.connection import open_client
from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, Records, Row
from service.cli.importer import Importer, ImportSummary
from service.cli.table_mapping import TableMapping, TableOptions


def _split_pair(words: Sequence[str] | None, option: str) -> dict[str, str]:
    """Return the two sides of the equals signs of a repeatable option."""
    pairs: dict[str, str] = {}
    for word in words or ():
        left, _, right = word.partition("=")
        if not left or not right:
            raise typer.BadParameter(
                f"must have the form LEFT=RIGHT, not {word}", param_hint=option
            )
        if left in pairs:
            raise typer.BadParameter(f"has {left} twice", param_hint=option)
        pairs[left] = right
    return pairs


def import_file(  # noqa: PLR0913, PLR0917  (each parameter is an option)
    file: Annotated[
        str, typer.Argument(help="File or named pipe, or - for standard input.", metavar="FILE")
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column of the id, the text, the expire_time or an attribute. Repeatable. "
            "Default: the column with the name of the field.",
        ),
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help='Text of an item, with names of columns in braces: "{title}. {description}". '
            "Default: the column text.",
        ),
    ] = "",
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=SEPARATOR",
            help='Column whose cells are lists, such as "tags=|". Repeatable.',
        ),
    ] = None,
    as_text: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column whose numbers are stored as text. Repeatable."),
    ] = None,
    ignore_unknown: Annotated[
        bool,
        typer.Option("--ignore-unknown", help="Ignore unknown fields, and columns without a name."),
    ] = False,
    require_indexed: Annotated[
        bool,
        typer.Option(
            "--require-indexed", help="Exit with status 1 if items are pending after the import."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Validate the lines and estimate tokens and cost; store nothing."
        ),
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Import items and users from a file of JSON lines, a JSON array, CSV, TSV or Parquet.

    Item: {"id": "sku-1", "text": "trail shoes", "attributes": {"price": 89}, "expire_time":
    "2030-01-31T00:00:00Z"}. Only the id and the text are required.

    User: {"user_id": "ann", "preferences": [{"text": "jogging", "weight": 1}], "liked": ["sku-1"]}.
    The preferences or the liked items are required.

    Table: columns id, text and expire_time; every other column becomes an attribute.
    With --map, --template, --split or --as-text, JSON objects are read like rows of a table.

    Files can be compressed with gzip, bzip2 or xz. If several lines have one id, the last counts.

    Exit status: 0 if everything is stored, 1 if lines were refused, 2 if the file was refused.
    """
    table = TableOptions(
        _split_pair(map_, "--map"),
        template,
        _split_pair(split, "--split"),
        frozenset(as_text or ()),
        ignore_unknown,
    )
    with console.show_bytes("import", measure_file(file)) as bar:
        task = bar.task_ids[0]
        try:
            records = open_records(file, lambda count: bar.advance(task, count))
            rows = map_rows(records, table)
        except FileError as exc:
            console.exit_with_error(f"{file}: {exc}", status=2)
        with open_client(address) as client:
            importer = Importer(client, bar, dry_run=dry_run, ignore_unknown=ignore_unknown)
            try:
                summary = importer.run(rows)
            except akin.AkinError:
                # What was stored before the server stopped, and the lines that failed.
                print_summary(importer.summary, as_json=as_json, dry_run=dry_run)
                raise
            pending = list_pending(client, summary) if require_indexed else []
    print_summary(summary, as_json=as_json, dry_run=dry_run)
    if summary.file_error:
        console.exit_with_error(f"{file}: {summary.file_error}", status=2)
    if pending:
        console.exit_with_error(f"items are pending: {'; '.join(pending)}")
    if summary.failures:
        raise typer.Exit(1)


def measure_file(file: str) -> int | None:
    """Return the size of a file in bytes; None for a pipe. Exit with status 2 if there is none."""
    if file == "-":
        return None
    try:
        status = Path(file).stat()
    except FileNotFoundError:
        console.exit_with_error(f"the file {file} does not exist", status=2)
    except OSError as exc:
        console.exit_with_error(f"{file}: cannot be read: {exc.strerror}", status=2)
    if stat.S_ISDIR(status.st_mode):
        console.exit_with_error(f"{file} is a folder, not a file", status=2)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def map_rows(records: Records, table: TableOptions) -> Iterator[Row]:
    """Return the rows as JSON objects of items and users.

    Raises:
        FileError: the options do not suit the columns.
    """
    if records.columns is None and not table.is_set():
        return records.rows
    mapping = TableMapping(records, table)
    console.err.print(mapping.describe())
    return mapping.rows()


def list_pending(client: akin.Client, summary: ImportSummary) -> list[str]:
    """Return the reasons why items of an import are still pending, with their numbers."""
    if not summary.pending:
        return []
    return [
        f"{min(pending.item_count, summary.pending)} {pending.reason}: {pending.message}"
        for pending in client.get_catalog().pending_items
    ]


def count_stored(summary: ImportSummary) -> str:
    """Return the numbers of items and of users, with their nouns."""
    return f"{format_count(summary.items, 'item')} and {format_count(summary.users, 'user')}"


def print_summary(summary: ImportSummary, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the result of an import; failures go to standard error unless `as_json`."""
    if as_json:
        console.print_json(summary.to_dict())
        return
    for failure in (*summary.failures, *summary.failures.further()):
        console.print_line(str(failure), to_stderr=True)
    failed = f"{format_count(len(summary.failures), 'line')} failed"
    usage = f"{summary.prompt_tokens} tokens, {console.format_usd(summary.cost_usd)}"
    if dry_run:
        typer.echo(f"{count_stored(summary)} are valid; {failed}")
        typer.echo(
            f"{summary.embedded_texts} texts to embed: about {usage} "
            "(0 if free or if the price is unknown)"
        )
        return
    typer.echo(f"{count_stored(summary)} stored in {summary.seconds:.1f} s; {failed}")
    if summary.pending:
        pending = format_count(summary.pending, "pending item")
        typer.echo(f"{pending}; akin status prints the reasons")
    if summary.prompt_tokens:
        typer.echo(
            f"{summary.embedded_texts} texts embedded, {summary.reused_texts} reused: {usage}"
        )
