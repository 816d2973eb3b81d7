"""`akin import`: imports items, users and interactions from a file."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import akin
import typer

from service.cli import console, interaction_options, options
from service.cli.connection import open_client
from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError
from service.cli.import_output import print_summary
from service.cli.import_rows import map_rows
from service.cli.importer import Importer, ImportSummary
from service.cli.interaction_builder import InteractionOptions
from service.cli.sources.source_urls import (
    check_options,
    hide_credentials,
    is_source,
    read_source,
)
from service.cli.table_mapping import TableOptions


def import_file(  # noqa: PLR0913, PLR0917  (each parameter is an option)
    file: Annotated[
        str,
        typer.Argument(
            help="File or named pipe, - for standard input, or the address of a collection in "
            "Qdrant or Chroma, or of a table in PostgreSQL.",
            metavar="FILE",
        ),
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column of a field or of an attribute: id, text, expire_time and vectors of an "
            "item; user_id, item_id, type, value, time, interaction_id and recommendation_id of an "
            "interaction. Repeatable. Default: the column with the name of the field, or with "
            "another usual name of it.",
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
    columns: interaction_options.ColumnsOption = "",
    interactions: Annotated[
        bool,
        typer.Option(
            "--interactions",
            help="Import every line as an interaction. Default: lines with a user and an item "
            "are interactions.",
        ),
    ] = False,
    type_: interaction_options.TypeOption = "",
    type_map: interaction_options.TypeMapOption = None,
    like_from: interaction_options.LikeFromOption = None,
    dislike_below: interaction_options.DislikeBelowOption = None,
    ignore_unknown: Annotated[
        bool,
        typer.Option("--ignore-unknown", help="Ignore unknown fields, and columns without a name."),
    ] = False,
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors",
            help="Import the vectors of another vector store, in place of embedding the texts. "
            "They must have been made with the model of the catalog. Lines of files keep their "
            "vectors without it.",
        ),
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
    """Import items, users and interactions from JSON lines, a JSON array, CSV, TSV or Parquet.

    JSON objects:

    - Item: {"id": "sku-1", "text": "trail shoes", "attributes": {"price": 89}, "expire_time":
      "2030-01-31T00:00:00Z"}. Only the id and the text are required. With "vectors": [[0.6, 0.8]],
      the item has these vectors of the catalog's model in place of those of its text.
    - User: {"user_id": "ann", "preferences": [{"text": "jogging", "weight": 1}], "liked":
      ["sku-1"]}. The preferences or the liked items are required.
    - Interaction: {"user_id": "ann", "item_id": "sku-1", "type": "LIKE", "time":
      "2026-01-02T00:00:00Z"}. The user, the item, and a type or a rating are required.

    Tables:

    - Items: columns id, text, expire_time and vectors; every other column becomes an attribute.
    - Interactions: columns with a user, an item, and a type or a rating, such as
      userId,movieId,rating,timestamp. Other columns are ignored.

    With --map, --template, --split, --as-text or --interactions, JSON objects are read like rows
    of a table.

    Other vector stores: qdrant://HOST:PORT/COLLECTION, chroma://HOST:PORT/COLLECTION,
    chroma:///FOLDER/COLLECTION, postgresql://USER@HOST/DATABASE?table=TABLE. --map and --template
    choose the fields with the id, the text and the attributes. With --vectors, the vectors are
    imported.

    Files can be compressed with gzip, bzip2 or xz. If several lines have one id, the last counts.
    Interactions that are recorded already are duplicates and change nothing.

    Exit status: 0 if everything is stored, 1 if lines were refused, 2 if the file was refused.
    """
    if vectors and not is_source(file):
        console.exit_with_error("--vectors is for other vector stores, not for files", status=2)
    fields = interaction_options.split_pairs(map_, "--map")
    separators = interaction_options.split_pairs(split, "--split")
    table = TableOptions(fields, template, separators, frozenset(as_text or ()), ignore_unknown)
    for_interactions = InteractionOptions(
        is_forced=interactions,
        columns=fields,
        default_type=interaction_options.parse_type_option(type_),
        event_types=interaction_options.parse_type_map(type_map),
        like_from=like_from,
        dislike_below=dislike_below,
        ignore_unknown=ignore_unknown,
    )
    interaction_options.check_rating_options(for_interactions)
    names = interaction_options.split_columns(columns)
    with console.show_bytes("import", measure_file(file)) as bar, open_client(address) as client:
        task = bar.task_ids[0]
        for_interactions = replace(
            for_interactions, list_types=lambda: client.get_catalog().settings.interaction_weights
        )
        try:
            if is_source(file):
                check_options(table, for_interactions, names)
                dimensions = client.get_catalog().space.dimensions if vectors else None
                rows = read_source(file, fields, template, _report, dimensions)
            else:
                records = open_records(file, lambda count: bar.advance(task, count), names)
                rows = map_rows(records, table, for_interactions, _report)
        except FileError as exc:
            console.exit_with_error(f"{hide_credentials(file)}: {exc}", status=2)
        importer = Importer(client, bar, dry_run=dry_run, ignore_unknown=ignore_unknown)
        try:
            summary = importer.run(rows)
        except akin.AkinError:
            # What was stored before the server stopped, and the lines that failed.
            print_summary(importer.summary, as_json=as_json, dry_run=dry_run)
            raise
        pending = list_pending(client, summary) if require_indexed else []
    print_summary(summary, as_json=as_json, dry_run=dry_run)
    _exit_unless_complete(hide_credentials(file), summary, pending)


def _exit_unless_complete(file: str, summary: ImportSummary, pending: Sequence[str]) -> None:
    if summary.file_error:
        console.exit_with_error(f"{file}: {summary.file_error}", status=2)
    if pending:
        console.exit_with_error(f"items are pending: {'; '.join(pending)}")
    if summary.failures:
        raise typer.Exit(1)


def _report(lines: str) -> None:
    console.err.print(lines, soft_wrap=True)


def measure_file(file: str) -> int | None:
    """Return the size of a file in bytes; None for others. Exit with status 2 if there is none."""
    if file == "-" or is_source(file):
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


def list_pending(client: akin.Client, summary: ImportSummary) -> list[str]:
    """Return the reasons why items of an import are still pending, with their numbers."""
    if not summary.pending:
        return []
    return [
        f"{min(pending.item_count, summary.pending)} {pending.reason}: {pending.message}"
        for pending in client.get_catalog().pending_items
    ]
