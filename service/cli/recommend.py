"""`akin recommend`: prints recommendations for an item, a user, a text or example items."""

from __future__ import annotations

from typing import Annotated, Literal

import akin
import typer

from service.cli import console, options
from service.cli.connection import open_client
from service.cli.recommendation_output import build_recommendation_table

RelationName = Literal["similar", "also-liked", "both"]

_RELATIONS: dict[RelationName, akin.Relation.ValueType] = {
    "similar": akin.Relation.RELATION_SIMILAR,
    "also-liked": akin.Relation.RELATION_ALSO_LIKED,
    "both": akin.Relation.RELATION_BOTH,
}

_ITEM_TITLES: dict[RelationName, str] = {
    "similar": "Similar to {}",
    "also-liked": "Liked with {}",
    "both": "Related to {}",
}


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
    popular: Annotated[
        bool, typer.Option("--popular", help="Print the items with the most interactions.")
    ] = False,
    relation: Annotated[
        RelationName | None,
        typer.Option(
            help="What to recommend for --item: items with similar texts, items that people like "
            "who like the item, or both. Default: similar."
        ),
    ] = None,
    limit: options.LimitOption = 10,
    filter_json: options.FilterOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Id of an item to exclude. Repeatable. Default: no items."),
    ] = None,
    min_score: options.MinScoreOption = None,
    lexical_weight: options.LexicalWeightOption = None,
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
    """Print recommendations for an item, a user, a text or example items, or popular items.

    Requires exactly one source: --item, --user, --text, --popular, or --like and --dislike.
    """
    examples = akin.examples(like or (), dislike or ()) if like or dislike else None
    sources = item, user, text, examples, popular or None
    if sum(source is not None for source in sources) != 1:
        console.exit_with_error(
            "exactly one source is required: --item, --user, --text, --popular, or --like and "
            "--dislike",
            status=2,
        )
    if relation is not None and item is None:
        console.exit_with_error("--relation requires --item", status=2)
    if lexical_weight is not None and text is None:
        console.exit_with_error("--lexical-weight requires --text", status=2)
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client:
        response = client.recommend_similar(
            item_id=item,
            user_id=user,
            text=text,
            examples=examples,
            popular=akin.Popular() if popular else None,
            relation=_RELATIONS[relation] if relation else akin.Relation.RELATION_UNSPECIFIED,
            limit=limit,
            where=filter_,
            exclude_item_ids=exclude or (),
            min_score=min_score,
            lexical_weight=lexical_weight,
            diversity=diversity,
            max_similarity=max_similarity,
            full=True,
            explain=explain,
        )
    if as_json:
        console.print_message(response)
    else:
        rest = "Popular" if popular else _describe(text, like, dislike)
        _print(_choose_title(item, user, rest, relation), response)


def _print(title: str, response: akin.RecommendSimilarResponse) -> None:
    console.out.print(build_recommendation_table(title, response.recommendations))
    if response.signals.behavior_weight:
        console.print_line(
            f"text counts {response.signals.text_weight:.0%}, and behavior "
            f"{response.signals.behavior_weight:.0%}",
            to_stderr=True,
        )
    if response.missing_item_ids:
        ids = ", ".join(response.missing_item_ids)
        console.print_line(
            f"these items are ignored because they do not exist or have no vector yet: {ids}",
            to_stderr=True,
        )


def _choose_title(
    item: str | None, user: str | None, rest: str, relation: RelationName | None
) -> str:
    """Return the title for an item or a user, or that of another source."""
    if item is not None:
        return _ITEM_TITLES[relation or "similar"].format(item)
    return rest if user is None else f"For {user}"


def _describe(source: str | None, like: list[str] | None, dislike: list[str] | None) -> str:
    similar, unlike = source or ", ".join(like or ()), ", ".join(dislike or ())
    if not similar:
        return f"Unlike {unlike}"
    return f"Similar to {similar}" + (f", unlike {unlike}" if unlike else "")
