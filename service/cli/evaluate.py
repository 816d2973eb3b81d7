"""`akin evaluate`: measures the quality and latency of ranking strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer

from service.cli import console, interaction_options, options, plotting
from service.cli.evaluation_errors import EvaluationError
from service.cli.evaluation_input import EvaluationInput, read_input
from service.cli.evaluation_interactions import (
    HideName,
    RowOptions,
    read_interaction_input,
)
from service.cli.evaluation_output import print_evaluation
from service.cli.evaluation_run import LEARNED_STRATEGIES, EvaluationPlan, run_evaluation
from service.cli.interaction_builder import InteractionOptions
from service.cli.plotting import charts
from service.setting_types import RankingName

STRATEGIES: Sequence[str] = (*get_args(RankingName), *LEARNED_STRATEGIES)
STRATEGY_NAMES = f"{', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}"


def _check_strategies(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name not in STRATEGIES:
            raise typer.BadParameter(f"must be {STRATEGY_NAMES}, not {name}")
    return names


def evaluate(  # noqa: PLR0913, PLR0917  (each parameter is an option)
    items: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="JSONL file of items, as for akin import."),
    ],
    users: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSONL file of people with held-out items."),
    ] = None,
    interactions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File of interactions or ratings, as for akin import; excludes --users.",
        ),
    ] = None,
    hide: Annotated[
        HideName | None,
        typer.Option(
            help="Likes of --interactions to hold out: the newest fifth of each person's (newest), "
            "or the newest fifth of all, from one time on (cut). Default: newest."
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column of a field of --interactions, such as user_id=member. Repeatable. "
            "Default: the column with the name of the field, or with another usual name of it.",
        ),
    ] = None,
    columns: interaction_options.ColumnsOption = "",
    type_: interaction_options.TypeOption = "",
    type_map: interaction_options.TypeMapOption = None,
    like_from: interaction_options.LikeFromOption = None,
    dislike_below: interaction_options.DislikeBelowOption = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            callback=_check_strategies,
            help=f"Strategy to measure: {STRATEGY_NAMES}. Repeatable. Default: all of them.",
        ),
    ] = None,
    prior_attribute: Annotated[
        str | None,
        typer.Option(
            help="Attribute for one more row: pooled with this AKIN_PRIOR_ATTRIBUTE. "
            "Default: no such row."
        ),
    ] = None,
    shuffle_order: Annotated[
        bool,
        typer.Option(
            "--shuffle-order", help="Measure auto also with each person's likes in a random order."
        ),
    ] = False,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold", help="Measure also people with few likes or one text, and new items."
        ),
    ] = False,
    plot: options.PlotOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Measure the quality and latency of ranking strategies with temporary servers.

    Person: {"user_id": "ann", "liked": ["a", "b"], "held_out": ["c"]}, likes from the oldest to the
    latest. Each person gets 20 recommendations for the liked items, and the metrics measure how
    many held-out items are among them. With --interactions, the command holds out likes itself.

    The strategies pooled, nearest and mean rank by text alone. auto is the default of the server:
    text, and behavior where it predicts better. behavior always uses it, and popular recommends
    the items with the most likes.

    The servers use the embedder settings of the environment and embed each text once.
    """
    for_interactions = InteractionOptions(
        is_forced=True,
        columns=interaction_options.split_pairs(map_, "--map"),
        default_type=interaction_options.parse_type_option(type_),
        event_types=interaction_options.parse_type_map(type_map),
        like_from=like_from,
        dislike_below=dislike_below,
    )
    interaction_options.check_rating_options(for_interactions)
    plan = EvaluationPlan(
        tuple(dict.fromkeys(strategy or STRATEGIES)), prior_attribute, shuffle_order, cold
    )
    try:
        if plot is not None:
            plotting.require_plotting(plot)
        rows = RowOptions(for_interactions, interaction_options.split_columns(columns))
        data = _read(items, users, interactions, rows, hide)
        _evaluate(data, plan, plot, as_json=as_json)
    except plotting.PlotError as exc:
        console.exit_with_error(str(exc), command="akin evaluate", status=2)
    except EvaluationError as exc:
        for message in exc.messages:
            console.print_line(f"akin evaluate: {message}", to_stderr=True)
        raise typer.Exit(2) from None


def _read(
    items: Path,
    users: Path | None,
    interactions: Path | None,
    rows: RowOptions,
    hide: HideName | None,
) -> EvaluationInput:
    """Read the input files.

    Raises:
        EvaluationError: a file is invalid, or the options exclude each other.
    """
    if users is None and interactions is not None:
        return read_interaction_input(items, interactions, rows, hide or "newest")
    if users is None or interactions is not None:
        raise EvaluationError("either --users or --interactions is required")
    if hide is not None or rows != RowOptions():
        raise EvaluationError(
            "--hide, --map, --columns, --type, --type-map, --like-from and --dislike-below need "
            "--interactions"
        )
    return read_input(items, users)


def _evaluate(
    data: EvaluationInput, plan: EvaluationPlan, plot: Path | None, *, as_json: bool
) -> None:
    evaluation = run_evaluation(data, plan)
    if as_json:
        console.print_json(asdict(evaluation))
    else:
        print_evaluation(evaluation)
    if plot is not None:
        charts.draw_chart(plot, evaluation)
