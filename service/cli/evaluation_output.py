"""Prints the result of an evaluation as tables."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.table import Table

from service.cli import console
from service.cli.analysis_output import format_count
from service.cli.evaluation_metrics import COVERAGE_TOP, TOP, Interval
from service.cli.evaluation_results import (
    ColdItems,
    ColdPeople,
    Evaluation,
    LearnedSummary,
    Quality,
    StrategyMetrics,
)
from service.recommend.collaborative.blend_validation import MIN_LIKES, MIN_TEST_PEOPLE

NOTHING = "-"


def print_evaluation(evaluation: Evaluation) -> None:
    """Print all tables, and lines about what was learned and about latencies."""
    console.out.print(_build_quality_table(evaluation))
    console.out.print(_build_results_table(evaluation.strategies))
    if evaluation.cold_people:
        console.out.print(_build_people_table(evaluation.cold_people))
    if evaluation.cold_items:
        console.out.print(_build_items_table(evaluation.cold_items))
    for line in _describe_split(evaluation):
        console.print_line(line)
    if evaluation.learned is not None:
        console.print_line(describe_learned(evaluation.learned))
    item, user = evaluation.item_query_ms, evaluation.user_with_50_likes_ms
    console.print_line(
        "time of a call by text (median, and 95% of the calls): "
        f"for an item {item.p50:.2f} ms, {item.p95:.2f} ms; "
        f"for a user with 50 liked items {user.p50:.2f} ms, {user.p95:.2f} ms"
    )


def format_quality(mean: float, interval: Interval | Quality) -> str:
    """Return a mean and the ends of its interval in brackets."""
    return f"{mean:.4f} [{interval.low:.3f}, {interval.high:.3f}]"


def describe_learned(learned: LearnedSummary) -> str:
    """Return in one line what was learned, and why `auto` uses it or not."""
    likes = format_count(learned.like_count, "like")
    items = format_count(learned.item_count, "item")
    start = (
        f"learned from {likes} about {items}"
        if learned.item_count
        else f"trained on {likes} (liked items, and interactions with a weight above 0), "
        "nothing learned yet"
    )
    if learned.test_people < MIN_TEST_PEOPLE:
        return (
            f"{start}; auto, the default, uses text alone, because fewer than {MIN_TEST_PEOPLE} "
            "people have enough likes to test behavior"
        )
    used, verdict = (
        ("text and behavior", "which is above 0")
        if learned.uses_behavior
        else ("text alone", "which is not above 0")
    )
    return (
        f"{start}; auto, the default, uses {used}: in a test with {learned.test_people} people, "
        f"behavior changed the quality (nDCG@{TOP}) by {_format_gain(learned.ndcg_gain)}, and the "
        f"lower end of the 95% interval is {_format_gain(learned.ndcg_gain_lower_bound)}, {verdict}"
    )


def _format_gain(gain: float) -> str:
    """Return a gain with 4 decimals, or with enough of them if it would become 0."""
    rounded = f"{gain:+.4f}"
    return f"{Decimal(f'{gain:.1g}'):+f}" if gain and not float(rounded) else rounded


def _build_table(title: str, first: str, *others: str) -> Table:
    table = console.build_table(title)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _build_quality_table(evaluation: Evaluation) -> Table:
    people = format_count(evaluation.people, "person", "people")
    title = f"Quality: {people}, {format_count(evaluation.items, 'item')}; 95% intervals"
    names = [f"{name}@{TOP}" for name in ("recall", "nDCG", "hit rate")]
    table = _build_table(title, "strategy", *names, f"gain in nDCG@{TOP} over text")
    for metrics in evaluation.strategies:
        gain = metrics.ndcg_gain
        table.add_row(
            metrics.strategy,
            format_quality(metrics.recall_at_20, metrics.recall_at_20_interval),
            format_quality(metrics.ndcg_at_20, metrics.ndcg_at_20_interval),
            f"{metrics.hit_rate_at_20:.4f}",
            NOTHING if gain is None else format_quality(gain.mean, gain),
        )
    return table


def _build_results_table(strategies: Sequence[StrategyMetrics]) -> Table:
    names = [f"{name}@{COVERAGE_TOP}" for name in ("coverage", "novelty", "popular")]
    title = "What is recommended (novelty in bits), and how long it takes"
    table = _build_table(title, "strategy", *names, "p50 ms", "p95 ms")
    for metrics in strategies:
        table.add_row(
            metrics.strategy,
            f"{metrics.coverage_at_10:.4f}",
            f"{metrics.novelty_at_10:.2f}",
            f"{metrics.popular_at_10:.4f}",
            f"{metrics.p50_ms:.2f}",
            f"{metrics.p95_ms:.2f}",
        )
    return table


def _build_people_table(rows: Sequence[ColdPeople]) -> Table:
    title = "People of whom only little is known; 95% intervals"
    table = _build_table(title, "known", "strategy", "people", f"recall@{TOP}")
    for row in sorted(rows, key=lambda row: row.likes):
        recall = format_quality(row.recall_at_20.mean, row.recall_at_20)
        table.add_row(_describe_known(row), row.strategy, str(row.people), recall)
    return table


def _describe_known(row: ColdPeople) -> str:
    if row.strategy == "popular":
        return "nothing"
    return format_count(row.likes, "like") if row.likes else "one text"


def _build_items_table(rows: Sequence[ColdItems]) -> Table:
    title = "If some of the liked items are new; 95% intervals"
    names = [f"recall@{TOP} of {items} items" for items in ("new", "all")]
    table = _build_table(title, "strategy", *names)
    for row in rows:
        table.add_row(
            row.strategy,
            format_quality(row.recall_of_new.mean, row.recall_of_new),
            format_quality(row.recall_at_20.mean, row.recall_at_20),
        )
    return table


def _describe_split(evaluation: Evaluation) -> list[str]:
    split = evaluation.split
    lines = []
    if split.cut_time is not None:
        lines.append(f"held-out likes are from {split.cut_time} on")
    if split.unmeasured_people:
        lines.append(f"people not measured, without visible likes: {split.unmeasured_people:,}")
    if split.people_with_few_likes:
        lines.append(
            f"people not measured, with fewer than {MIN_LIKES} likes: "
            f"{split.people_with_few_likes:,}"
        )
    if split.unsampled_people:
        candidates = evaluation.people + split.unsampled_people
        lines.append(f"people measured: a sample of {evaluation.people:,} of {candidates:,}")
    if split.unknown_items:
        lines.append(
            f"interactions ignored, with items that are not in the file: {split.unknown_items:,}"
        )
    return lines
