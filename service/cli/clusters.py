"""`akin clusters`: prints clusters of similar items and draws a map of them."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import akin
import typer
from rich.table import Table
from rich.text import Text

from service.cli import analysis_output, console, options, plotting
from service.cli.connection import open_client
from service.cli.item_titles import fetch_titles
from service.cli.plotting import maps

# Clusters in a table; --json prints all of them.
TABLE_CLUSTERS = 50

# Keywords of a cluster in a table; --json prints all of them.
TABLE_KEYWORDS = 6


def print_clusters(
    count: Annotated[
        int, typer.Option(help="Number of clusters. 0: Akin chooses a number from 2 to 32.")
    ] = 0,
    representatives: Annotated[
        int, typer.Option(help="Maximum number of representative items of each cluster.")
    ] = 3,
    plot: options.PlotOption = None,
    filter_json: options.FilterOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print clusters of similar items with their keywords."""
    filter_ = options.parse_filter(filter_json)
    try:
        if plot is not None:
            plotting.require_plotting(plot)
        with open_client(address) as client:
            with console.show_spinner("clusters"):
                response = client.cluster_items(
                    cluster_count=count,
                    where=filter_,
                    representative_limit=representatives,
                    point_limit=0 if plot is None else maps.MAX_POINTS,
                )
            if as_json:
                console.print_message(response, with_zeros=True)
            else:
                texts = analysis_output.fetch_texts(client, _list_table_items(response))
                console.out.print(_build_table(response, texts))
            titles = {}
            if plot is not None and plotting.is_interactive(plot):
                titles = fetch_titles(client, [point.item_id for point in response.points])
        if plot is not None:
            maps.draw_map(plot, response, titles)
    except plotting.PlotError as exc:
        console.exit_with_error(str(exc), status=2)


def _list_table_items(response: akin.ClusterItemsResponse) -> list[str]:
    """Return the ids in the table: the nearest item of every cluster, then the second nearest."""
    ranked = (
        (rank, representative.item_id)
        for cluster in islice(response.clusters, TABLE_CLUSTERS)
        for rank, representative in enumerate(cluster.representatives)
    )
    return [item_id for _, item_id in sorted(ranked, key=lambda pair: pair[0])]


def _build_table(response: akin.ClusterItemsResponse, texts: dict[str, str]) -> Table:
    clusters = analysis_output.format_count(len(response.clusters), "cluster")
    items = analysis_output.format_count(response.coverage.item_count, "item")
    hint = "--json prints all clusters" if len(response.clusters) > TABLE_CLUSTERS else None
    sample = analysis_output.describe_sample(response.coverage)
    table = console.build_table(
        f"{clusters} of {items}", analysis_output.join_captions(sample, hint)
    )
    table.add_column("items", justify="right")
    table.add_column("cohesion", justify="right")
    table.add_column("keywords")
    table.add_column("representative items")
    for cluster in islice(response.clusters, TABLE_CLUSTERS):
        representatives = (
            console.shorten(texts[item.item_id]) if item.item_id in texts else item.item_id
            for item in cluster.representatives
        )
        table.add_row(
            f"{cluster.item_count:,}",
            f"{cluster.cohesion:.3f}",
            ", ".join(cluster.keywords[:TABLE_KEYWORDS]),
            Text("\n".join(representatives)),
        )
        table.add_section()
    return table
