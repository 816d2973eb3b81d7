"""`akin outliers`: prints the items that are least similar to all other items."""

from __future__ import annotations

import akin
from rich.table import Table

from service.cli import analysis_output, console, options
from service.cli.connection import open_client


def print_outliers(
    limit: options.LimitOption = 20,
    filter_json: options.FilterOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print the items that are least similar to all other items, strongest outlier first."""
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client, console.show_spinner("outliers"):
        response = client.find_outliers(limit=limit, where=filter_, full=True)
    if as_json:
        console.print_message(response, with_zeros=True)
    else:
        console.out.print(_build_table(response))


def _build_table(response: akin.FindOutliersResponse) -> Table:
    items = analysis_output.format_count(response.coverage.item_count, "item")
    table = console.build_table(
        f"Outliers among {items}", analysis_output.describe_sample(response.coverage)
    )
    table.add_column("mean similarity", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("text")
    table.add_column("nearest item", overflow="fold")
    for outlier in response.outliers:
        text = console.shorten(outlier.item.text)
        similarity = f"{outlier.mean_similarity:.3f}"
        table.add_row(similarity, outlier.item_id, text, outlier.nearest_item_id)
    return table
