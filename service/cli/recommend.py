"""`akin recommend`: prints recommendations for an item, a user, a text or example items."""

from __future__ import annotations

from typing import Annotated

import akin
import typer

from service.cli import console, options
from service.cli.connection import open_client
from service.cli.recommendation_output import build_recommendation_table


def print_recommendations(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    item: Annotated[str | None, typer.Option(help="Id of an item to resemble.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of a user to recommend to.")] = None,
    text: Annotated[str | None, typer.Option(help="Text to resemble.")] = None,
    like: Annotated[
        list[str] | None, typer.Option(help="Id of an example item to resemble. Repeatable.")
    ] = None,
    dislike: Annotated[
        list[str] | None, typer.Option(help="Id of an example item to avoid. Repeatable.")
    ] = None,
    limit: options.LimitOption = 10,
    filter_json: options.FilterOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Id of an item to exclude. Repeatable. Default: no items."),
    ] = None,
    min_score: options.MinScoreOption = None,
    diversity: Annotated[
        float, typer.Option(help="Difference between the results, from 0 to 1. 0: rank by score.")
    ] = 0.0,
    max_similarity: Annotated[
        float | None,
        typer.Option(
            help="Exclude near-duplicates of a better result with at least this cosine "
            "similarity. Default: near-duplicates are not excluded."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the parts of the source that match each item.")
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print recommendations for an item, a user, a text or example items.

    Requires exactly one source: --item, --user, --text, or --like and --dislike.
    """
    examples = akin.examples(like or (), dislike or ()) if like or dislike else None
    if sum(source is not None for source in (item, user, text, examples)) != 1:
        console.exit_with_error(
            "exactly one source is required: --item, --user, --text, or --like and --dislike",
            status=2,
        )
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client:
        response = client.recommend_similar(
            item_id=item,
            user_id=user,
            text=text,
            examples=examples,
            limit=limit,
            where=filter_,
            exclude_item_ids=exclude or (),
            min_score=min_score,
            diversity=diversity,
            max_similarity=max_similarity,
            full=True,
            explain=explain,
        )
    if as_json:
        console.print_message(response)
    else:
        title = f"For {user}" if user is not None else _describe(item or text, like, dislike)
        _print(title, response)


def _print(title: str, response: akin.RecommendSimilarResponse) -> None:
    console.out.print(build_recommendation_table(title, response.recommendations))
    if response.missing_item_ids:
        ids = ", ".join(response.missing_item_ids)
        console.print_line(
            f"ignored, because they do not exist or have no vector yet: {ids}", to_stderr=True
        )


def _describe(source: str | None, like: list[str] | None, dislike: list[str] | None) -> str:
    similar, unlike = source or ", ".join(like or ()), ", ".join(dislike or ())
    if not similar:
        return f"Unlike {unlike}"
    return f"Similar to {similar}" + (f", unlike {unlike}" if unlike else "")
