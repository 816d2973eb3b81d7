"""`akin export`: writes the items, users and interactions of a catalog to a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.connection import open_client
from service.cli.export_rows import COLUMNS, KINDS, RECOMMENDATION_ID, ExportReader, KindName
from service.cli.export_target import STANDARD_OUTPUT, open_target
from service.cli.formats.rows import FileError
from service.cli.formats.writers import (
    ENDINGS,
    CsvWriter,
    FormatName,
    JsonLinesWriter,
    ParquetRowWriter,
    RowWriter,
)


def export_catalog(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="File to write, with the ending .jsonl, .csv or .parquet, or - for standard "
            "output.",
        ),
    ],
    only: Annotated[
        KindName | None,
        typer.Option(
            help="What to export. Default: everything in JSON lines; CSV and Parquet need it."
        ),
    ] = None,
    format_: Annotated[
        FormatName | None,
        typer.Option(
            "--format",
            help="Format of the file. Default: by its ending, and JSON lines on standard output.",
        ),
    ] = None,
    recommendation_ids: Annotated[
        bool,
        typer.Option(
            "--recommendation-ids",
            help="Export the recommendation_id of interactions too. Only the same catalog of the "
            "same server accepts it in an import.",
        ),
    ] = False,
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors",
            help="Export the vectors of texts too, to JSON lines. An import into a catalog with "
            "the same model then embeds nothing, but stores them as vectors of a caller, so that "
            "akin search finds no passages of these items. JSON lines always have the vectors that "
            "a caller gave.",
        ),
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
) -> None:
    """Export items, users and interactions in the form that akin import reads.

    An import of the file stores the same items, users and interactions. The settings of the
    catalog are not part of it.

    The file appears when it is complete, and replaces one with the same name. Rows that are written
    during the export may be missing or have their former values.
    """
    console.exit_on_sigterm()
    chosen = _choose_format(file, format_)
    kinds = _choose_kinds(chosen, only)
    if vectors and (chosen != "jsonl" or "items" not in kinds):
        console.exit_with_error("--vectors is for items in JSON lines", status=2)
    with open_client(address) as client:
        reader = ExportReader(
            client,
            with_recommendation_ids=recommendation_ids,
            vectors="all" if vectors else "own" if chosen == "jsonl" else "none",
        )
        try:
            with open_target(file) as stream:
                counts = _write(reader, stream, chosen, kinds)
        except FileError as exc:
            console.exit_with_error(f"{file}: {exc}")
    _print_summary(file, counts)
    _print_omissions(reader)


def _print_omissions(reader: ExportReader) -> None:
    """Print on standard error what the file lacks."""
    if reader.omitted_own_vectors:
        omitted = format_count(reader.omitted_own_vectors, "item")
        console.print_line(
            f"left out: the own vectors of {omitted}, which cannot be made again; JSON lines hold "
            "them",
            to_stderr=True,
        )
    if reader.omitted_recommendation_ids:
        omitted = format_count(reader.omitted_recommendation_ids, "interaction")
        console.print_line(
            f"left out: the recommendation_id of {omitted}, which other catalogs refuse; "
            "--recommendation-ids exports it",
            to_stderr=True,
        )


def _choose_format(file: str, format_: FormatName | None) -> FormatName:
    """Return the format; exit with status 2 if it is unknown, or unsuitable for the output."""
    chosen = format_ or ("jsonl" if file == STANDARD_OUTPUT else ENDINGS.get(Path(file).suffix))
    if chosen is None:
        console.exit_with_error(
            f"{file}: the ending must be {', '.join(ENDINGS)}, or --format names the format",
            status=2,
        )
    if chosen == "parquet" and file == STANDARD_OUTPUT:
        console.exit_with_error("Parquet needs a file; standard output can be text only", status=2)
    return chosen


def _choose_kinds(chosen: FormatName, only: KindName | None) -> Sequence[KindName]:
    """Return what to export, in this order; exit with status 2 if it is unclear."""
    if only is None and chosen != "jsonl":
        console.exit_with_error(
            f"a file in the format {chosen} has rows of one kind: choose it with "
            f"{' or '.join(f'--only {kind}' for kind in KINDS)}",
            status=2,
        )
    return KINDS if only is None else [only]


def _write(
    reader: ExportReader, stream: BinaryIO, chosen: FormatName, kinds: Sequence[KindName]
) -> dict[KindName, int]:
    """Write all rows and return their numbers by kind.

    Raises:
        AkinError: a call failed.
        FileError: the format cannot hold a row, or needs a package that is missing.
        OSError: the stream cannot be written.
    """
    columns = COLUMNS[kinds[0]]
    if reader.with_recommendation_ids and kinds[0] == "interactions":
        columns = (*columns, RECOMMENDATION_ID)
    writer = _make_writer(chosen, stream, columns)
    counts: dict[KindName, int] = {}
    with ExitStack() as stack:
        stack.callback(writer.close)
        bar = stack.enter_context(_show_rows())
        for kind in kinds:
            task = bar.add_task(kind, total=None)
            counts[kind] = 0
            for page in reader.read(kind):
                writer.write(page.rows)
                counts[kind] += len(page.rows)
                bar.update(task, completed=counts[kind], total=page.total)
    return counts


def _make_writer(chosen: FormatName, stream: BinaryIO, columns: Sequence[str]) -> RowWriter:
    match chosen:
        case "jsonl":
            return JsonLinesWriter(stream)
        case "csv":
            return CsvWriter(stream, columns)
        case "parquet":
            return ParquetRowWriter(stream, columns)


def _show_rows() -> Progress:
    """Return a progress bar over rows, which is hidden if standard error is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console.err,
        disable=not console.is_progress_visible(),
    )


def _print_summary(file: str, counts: dict[KindName, int]) -> None:
    parts = [format_count(count, kind.removesuffix("s")) for kind, count in counts.items()]
    is_standard_output = file == STANDARD_OUTPUT
    target = "standard output" if is_standard_output else file
    console.print_line(f"{target}: {', '.join(parts)}", to_stderr=is_standard_output)
