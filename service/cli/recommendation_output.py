"""Output of recommendations, for `akin recommend` and `akin demo`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import akin
from rich.table import Table

from service.cli import console

# Explanations of one item in a table; --json prints all of them.
TABLE_EXPLANATIONS = 2

# Width of a text in an explanation: two of them fit into a column.
SHOWN_EXPLANATION_COLUMNS = 30


def build_recommendation_table(title: str, recommendations: Sequence[akin.Recommendation]) -> Table:
    """Return a table of recommendations with whole items, and of their explanations if any."""
    table = console.build_table(title)
    table.add_column("score", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("text")
    explained = any(recommendation.explanations for recommendation in recommendations)
    if explained:
        table.add_column("explanation", overflow="fold")
    for recommendation in recommendations:
        text = console.shorten(recommendation.item.text)
        row = [f"{recommendation.score:.3f}", recommendation.item_id, text]
        if explained:
            row.append(_describe(recommendation.explanations))
        table.add_row(*row)
    return table


def _describe(explanations: Iterable[akin.Explanation]) -> str:
    return "; ".join(
        _describe_explanation(explanation)
        for explanation in islice(explanations, TABLE_EXPLANATIONS)
    )


def _describe_explanation(explanation: akin.Explanation) -> str:
    if explanation.signal == akin.Signal.SIGNAL_BEHAVIOR:
        return f"liked by people who like {_describe_source(explanation)}"
    described = f"{_describe_source(explanation)} {explanation.similarity:.2f}"
    if explanation.matched_words:
        described += f", with {console.shorten(', '.join(explanation.matched_words))}"
    return described


def _describe_source(explanation: akin.Explanation) -> str:
    if explanation.WhichOneof("source") == "item_id":
        return explanation.item_id
    return f'"{console.shorten(explanation.text, SHOWN_EXPLANATION_COLUMNS)}"'
