"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import akin
import typer

from service.cli import console
from service.cli.analysis_output import format_count
from service.cli.filter_option import FILTER_EXAMPLE, FilterError, decode_filter
from service.environment import ADDRESS_VARIABLE
from service.settings_loading import load_settings

DEFAULT_ADDRESS = "127.0.0.1:50051"

# The heading of the options of the connection in help texts.
CONNECTION_PANEL = "Connection"

AddressOption = Annotated[
    str,
    typer.Option(
        help="Address of the server, as host:port.",
        envvar=ADDRESS_VARIABLE,
        rich_help_panel=CONNECTION_PANEL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object in each line instead of text.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Delete without asking for confirmation.")]
ListLimitOption = Annotated[
    int, typer.Option(min=0, help="Maximum number of entries to print. 0: all of them.")
]
LIST_LIMIT = 100
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help=f"Filter that items must match, as a Filter message in JSON: {FILTER_EXAMPLE}. "
        "Default: all items.",
    ),
]
LimitOption = Annotated[int, typer.Option(help="Maximum number of results.")]
MinScoreOption = Annotated[
    float | None, typer.Option(help="Minimum score of a result. Default: no minimum.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        dir_okay=False,
        help="File to draw the result in: .png, .svg, or .html with details under the pointer. "
        "Default: no file.",
    ),
]
DataDirOption = Annotated[
    Path | None, typer.Option(help="Data folder. Default: the folder in the settings.")
]

ProviderOption = Annotated[
    str,
    typer.Option(
        help="Provider of the model: local, or the one in the server's settings, which is the "
        "default."
    ),
]
ModelOption = Annotated[str, typer.Option(help="Name of the model. Default: the server's setting.")]
DimensionsOption = Annotated[
    int, typer.Option(help="Number of dimensions to request. 0: the model's own number.")
]
TemplateOption = Annotated[
    str,
    typer.Option(
        help="Text to embed for an item; {text} stands for the item's text. "
        "Default: the template that suits the model."
    ),
]
QueryTemplateOption = Annotated[
    str,
    typer.Option(
        help="Text to embed for a query or a preference; {text} stands for its text. "
        "Default: the template that suits the model."
    ),
]


LexicalWeightOption = Annotated[
    float | None,
    typer.Option(
        help="How much exact words count beside the similarity of meaning, from 0 to 1; requires "
        "a server with AKIN_HYBRID=true. Default: the setting of the server."
    ),
]


def expand_user(path: Path) -> Path:
    """Return the absolute path with the home folder for ~; exit with status 2 if there is none.

    A shell leaves ~ as it is after an equals sign and in quotes.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as exc:
        console.exit_with_error(f"{path}: {exc}", status=2)
    except OSError:
        console.exit_with_error(f"{path}: the current folder does not exist", status=2)


def choose_data_folder(data_dir: Path | None, command: str, instead: str) -> Path:
    """Return the absolute path of the data folder, that of the settings if `data_dir` is None.

    Exit with status 2 if the settings keep the data in PostgreSQL.

    Args:
        data_dir: the folder that the command line names.
        command: the command, which works on a data folder.
        instead: says what to do for data in PostgreSQL.

    Raises:
        SettingsError: the settings are invalid.
    """
    if data_dir is not None:
        return expand_user(data_dir)
    settings = load_settings()
    if settings.store:
        console.exit_with_error(
            f"AKIN_STORE is set, so the data is in PostgreSQL: {instead}. "
            "For the data in a folder, set --data-dir",
            command=command,
            status=2,
        )
    return expand_user(settings.data_dir)


def parse_filter(text: str | None) -> akin.Filter | None:
    """Return the filter of --filter, None if it is unset; exit with status 2 if it is invalid."""
    if text is None:
        return None
    try:
        return decode_filter(text)
    except FilterError as exc:
        console.exit_with_error(
            f"--filter: {exc}; a filter has the form {FILTER_EXAMPLE}", status=2
        )


def report_rest(printed: int, total: int, noun: str) -> None:
    """Say on standard error that a list is not complete."""
    if printed < total:
        console.print_line(
            f"{printed:,} of {format_count(total, noun)}; --limit 0 prints all of them",
            to_stderr=True,
        )
