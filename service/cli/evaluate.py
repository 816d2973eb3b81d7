"""`akin evaluate`: measures the quality and latency of ranking strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer

from service.cli import console, options, plotting
from service.cli.evaluation_input import EvaluationError, read_input
from service.cli.evaluation_metrics import Evaluation
from service.cli.evaluation_run import list_variants, run_evaluation
from service.cli.plotting import charts
from service.settings import RankingName

STRATEGIES: Sequence[str] = get_args(RankingName)
STRATEGY_NAMES = f"{', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}"


def _check_strategies(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name not in STRATEGIES:
            raise typer.BadParameter(f"must be {STRATEGY_NAMES}, not {name}")
    return names


def evaluate(
    items: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="JSONL file of items, as for akin import."),
    ],
    users: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="JSONL file of people with held-out items."),
    ],
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
    plot: options.PlotOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Measure the quality and latency of ranking strategies with temporary servers.

    Person: {"user_id": "ann", "liked": ["a", "b"], "held_out": ["c"]}, likes from the oldest to the
    latest. Each person gets 20 recommendations for the liked items, and the metrics measure how
    many held-out items are among them.

    The servers use the embedder settings of the environment and embed each text once.
    """
    try:
        if plot is not None:
            plotting.require_plotting(plot)
        data = read_input(items, users)
        variants = list_variants(strategy or STRATEGIES, prior_attribute)
        evaluation = run_evaluation(data, variants, prior_attribute)
        if as_json:
            console.print_json(asdict(evaluation))
        else:
            _print(evaluation)
        if plot is not None:
            charts.draw_chart(plot, evaluation)
    except (EvaluationError, plotting.PlotError) as exc:
        console.exit_with_error(str(exc), command="akin evaluate", status=2)


def _print(evaluation: Evaluation) -> None:
    table = console.build_table(f"{evaluation.people} people, {evaluation.items} items")
    table.add_column("strategy", overflow="fold")
    for name in ("recall@20", "nDCG@20", "hit rate@20", "coverage@10", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    for metrics in evaluation.strategies:
        table.add_row(
            metrics.strategy,
            f"{metrics.recall_at_20:.4f}",
            f"{metrics.ndcg_at_20:.4f}",
            f"{metrics.hit_rate_at_20:.4f}",
            f"{metrics.coverage_at_10:.4f}",
            f"{metrics.p50_ms:.2f}",
            f"{metrics.p95_ms:.2f}",
        )
    console.out.print(table)
    item, user = evaluation.item_query_ms, evaluation.user_with_50_likes_ms
    console.print_line(
        f"for an item: p50 {item.p50:.2f} ms, p95 {item.p95:.2f} ms; "
        f"for a user with 50 likes: p50 {user.p50:.2f} ms, p95 {user.p95:.2f} ms, "
        f"{evaluation.p95_ratio:.2f} times the item's p95"
    )
