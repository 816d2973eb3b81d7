"""`akin migrate`: moves all data from one store to another."""

from __future__ import annotations

from typing import Annotated, Self

import typer
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.store_errors import exit_on_store_error
from service.storage.moving.move_addresses import StoreAddressError, open_move
from service.storage.moving.moves import MoveResult, Progress, copy_store, finish_move

_COMMAND = "akin migrate"

SourceOption = Annotated[
    str,
    typer.Option(
        "--from",
        help="Store to copy: sqlite:///folder for a data folder, or postgresql://user@host/database.",
    ),
]
TargetOption = Annotated[
    str, typer.Option("--to", help="Store to create, in the same form. It must be empty.")
]
FinishOption = Annotated[
    bool,
    typer.Option(
        "--finish",
        help="Copy what is missing, compare both stores and complete the target. All servers that "
        "use the source must be stopped.",
    ),
]


def migrate_store(
    source: SourceOption,
    target: TargetOption,
    finish: FinishOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Copy all data to another store. Servers can keep using the source until --finish.

    Run it without --finish first, while servers run. If it is interrupted, run it again: it copies
    only what is missing.
    """
    console.exit_on_sigterm()
    with (
        exit_on_store_error(
            _COMMAND, usage_error=StoreAddressError, in_use_advice=": stop all servers first"
        ),
        open_move(source, target) as (opened_source, opened_target),
        _ProgressLine() as line,
    ):
        move = finish_move if finish else copy_store
        result = move(opened_source, opened_target, line.show)
    _print_result(result, is_finished=finish, as_json=as_json)


class _ProgressLine:
    """Shows on a terminal what a move is doing; a context manager."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn("line" if console.err.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        hidden = not console.is_progress_visible()
        self._bar = Bar(*columns, console=console.err, disable=hidden, transient=True)
        self._task = self._bar.add_task("migrate", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show the table, and how far it is."""
        if progress.number:
            text = (
                f"pass {progress.number}: {progress.table}, "
                f"{format_count(progress.rows, 'row')} compared, "
                f"{progress.changed_rows:,} copied"
            )
        else:
            text = f"checking {progress.table}"
        self._bar.update(self._task, description=text)


def _print_result(result: MoveResult, *, is_finished: bool, as_json: bool) -> None:
    row_count = sum(summary.rows for summary in result.tables.values())
    rows, tables = format_count(row_count, "row"), format_count(len(result.tables), "table")
    if as_json:
        console.print_json(
            {
                "finished": is_finished,
                "passes": result.passes,
                "rows": row_count,
                "changed_rows": result.changed_rows,
                "last_changed_rows": result.last_changed_rows,
                "sequence": result.sequence,
                "tables": {name: summary._asdict() for name, summary in result.tables.items()},
            }
        )
    elif is_finished:
        console.print_line(
            f"finished: {rows} in {tables} up to sequence "
            f"{result.sequence}, equal in number and checksum; servers can use the target now"
        )
    else:
        console.print_line(
            f"copied: {rows} up to sequence {result.sequence}; the last of "
            f"{format_count(result.passes, 'pass', 'passes')} changed "
            f"{format_count(result.last_changed_rows, 'row')}"
        )
        console.print_line(
            "not finished: stop all servers that use the source, and run the command again with "
            "--finish"
        )
