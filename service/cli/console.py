"""Output of commands: tables, lines, progress, JSON and error messages.

Everything but JSON shows placeholders for characters that a terminal would obey. JSON escapes them.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NoReturn

import akin
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from service.cli.json_numbers import restore_fields
from service.domain.printable import replace_controls, to_line

# Width of an item's text in a table: the id and the score fit beside it in 80 columns.
CELL_COLUMNS = 50

# Stands for the end of a text that does not fit.
ELLIPSIS = " ..."

# Width of tables where no terminal has a width.
PIPED_COLUMNS = 120

# Smaller amounts than this are printed with significant digits instead of decimal places.
SMALL_USD = 0.1
USD_DECIMAL_PLACES = 4
USD_SIGNIFICANT_DIGITS = 3

# Characters that JSON allows in a string, but a terminal obeys or cannot encode: DEL and C1
# controls, bidirectional controls, line separators and surrogates.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


class _SafeConsole(Console):
    """A console that replaces the control characters of each string that it prints."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401  (rich has 8 options)
        """Return a string as rich text."""
        return super().render_str(replace_controls(text), **options)


class _SafeTable(Table):
    """A table with one line for each string in a cell, which folds words that are too long.

    Its title and caption wrap where the terminal ends; those of rich wrap where the table ends.

    Args:
        heading: title above the table.
        note: caption below it.
    """

    def __init__(self, heading: str | None, note: str | None) -> None:
        super().__init__()
        self._heading = heading
        self._note = note

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._heading:
            yield Text(to_line(self._heading), style="bold")
        yield from super().__rich_console__(console, options)
        if self._note:
            yield Text(to_line(self._note), style="dim italic")

    def add_column(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  (rich has 13 options)
        """Add a column; by default it folds long ids instead of cutting them."""
        super().add_column(*args, **{"overflow": "fold", **options})

    def add_row(
        self,
        *renderables: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row."""
        cells = (to_line(cell) if isinstance(cell, str) else cell for cell in renderables)
        super().add_row(*cells, style=style, end_section=end_section)


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and isatty()


# Ids and texts are printed as they are: brackets and colons in them are no markup.
out = _SafeConsole(
    highlight=False,
    markup=False,
    emoji=False,
    width=None if _is_terminal(sys.stdout) else PIPED_COLUMNS,
)
err = _SafeConsole(highlight=False, markup=False, emoji=False, stderr=True)


def print_line(text: str = "", *, to_stderr: bool = False) -> None:
    """Print a text in one line."""
    typer.echo(to_line(text), err=to_stderr)


def print_entry(heading: str, texts: Iterable[str]) -> None:
    """Print a heading in bold, the lines of texts below it, and an empty line.

    Long lines are left to the terminal, so that they can be copied whole.
    """
    out.print(to_line(heading), style="bold", soft_wrap=True)
    lines = (line for text in texts for line in text.splitlines())
    out.print("\n".join(f"  {to_line(line)}" for line in lines), end="\n\n", soft_wrap=True)


def exit_with_error(message: str, *, command: str = "akin", status: int = 1) -> NoReturn:
    """Print an error message in one line and end the command; status 2 means a usage error."""
    print_line(f"{command}: {'; '.join(message.splitlines())}", to_stderr=True)
    raise typer.Exit(status)


def exit_on_sigterm() -> None:
    """On SIGTERM, exit as on an error, so that no half written file is left."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def print_json(value: object) -> None:
    """Print one JSON document on standard output, in ASCII if its encoding is not Unicode."""
    document = json.dumps(value, ensure_ascii=False, indent=2)
    document = _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
    try:
        document.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        document = json.dumps(value, indent=2)
    typer.echo(document)


def to_json_line(value: object) -> str:
    """Return one JSON value in one line, which a terminal shows and does not obey."""
    document = json.dumps(value, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def print_json_line(value: object) -> None:
    """Print one JSON value in one line, in ASCII if the encoding of the output is not Unicode."""
    line = to_json_line(value)
    try:
        line.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        line = json.dumps(value)
    typer.echo(line)


def print_message(message: Message, *, with_zeros: bool = False) -> None:
    """Print a message as one JSON document with the field names of the contract."""
    print_json(to_dict(message, with_zeros=with_zeros))


def to_dict(message: Message, *, with_zeros: bool = False) -> dict[str, object]:
    """Return a message as plain values; fields that are zero or empty only if `with_zeros`.

    Numbers without a fraction are integers, and attributes are in alphabetical order.
    """
    values = MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=with_zeros,
    )
    return restore_fields(values)


def build_table(title: str | None = None, caption: str | None = None) -> Table:
    """Return an empty table with a title above it and a caption below it."""
    return _SafeTable(title, caption)


def describe_space(space: akin.EmbeddingSpace, *, is_measured: bool = True) -> str:
    """Return an embedding space in one line, without dimensions that no vector has shown yet."""
    width = f", {space.dimensions} dimensions" if is_measured else ""
    return f"{space.model} ({space.provider}){width}"


def format_usd(amount: float) -> str:
    """Return an amount in US dollars; an amount that is not 0 never looks like 0.

    Small amounts have significant digits instead of decimal places: 0.0000123 US dollars.
    """
    if not amount:
        return "0 US dollars"
    if abs(amount) >= SMALL_USD:
        return f"{amount:,.{USD_DECIMAL_PLACES}f} US dollars"
    # The format `e` rounds to significant digits, and Decimal prints them without an exponent.
    rounded = Decimal(f"{amount:.{USD_SIGNIFICANT_DIGITS - 1}e}").normalize()
    return f"{rounded:f} US dollars"


def shorten(text: str, columns: int = CELL_COLUMNS) -> str:
    """Return the start of a text in one line of at most `columns`, cut between words if it can."""
    line = to_line(" ".join(text.split()))
    if cell_len(line) <= columns:
        return line
    # Wide characters take two columns, and a text in Chinese or Japanese has no spaces.
    limit = columns - len(ELLIPSIS)
    words = set_cell_size(line, limit + 1).rpartition(" ")[0]
    start = words if cell_len(words) > limit // 2 else set_cell_size(line, limit)
    return start.rstrip() + ELLIPSIS


def is_progress_visible() -> bool:
    """Is standard error a terminal?"""
    return _is_terminal(sys.stderr)


@contextmanager
def show_bytes(
    title: str, total_bytes: int | None, participle: str = "stored"
) -> Iterator[Progress]:
    """Show a progress bar over bytes with one task, whose field `done` counts what is `participle`.

    Args:
        title: names the task.
        total_bytes: the size of the file; None if it is unknown.
        participle: says what was done to what `done` counts.
    """
    bar = Progress(
        TextColumn(title, markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn(f"{{task.fields[done]}} {participle}", markup=False),
        TimeRemainingColumn(),
        console=err,
        disable=not is_progress_visible(),
    )
    with bar:
        bar.add_task(title, total=total_bytes, done=0)
        yield bar


@contextmanager
def show_spinner(title: str) -> Iterator[None]:
    """Show a spinner and the elapsed time during a call."""
    columns = (_make_spinner(), TextColumn(title, markup=False), TimeElapsedColumn())
    hidden = not is_progress_visible()
    with Progress(*columns, console=err, disable=hidden, transient=True) as bar:
        bar.add_task(title, total=None)
        yield


def _make_spinner() -> SpinnerColumn:
    return SpinnerColumn("line" if err.options.ascii_only else "dots")
