"""`akin recommend`: asks a server for recommendations."""

from __future__ import annotations

from typing import Annotated

import akin
import typer

from service.cli import console


def recommend(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    item: Annotated[str | None, typer.Option(help="Similar to this item.")] = None,
    user: Annotated[str | None, typer.Option(help="For this user.")] = None,
    text: Annotated[str | None, typer.Option(help="Similar to this text.")] = None,
    like: Annotated[list[str] | None, typer.Option(help="Like this item, and others.")] = None,
    dislike: Annotated[list[str] | None, typer.Option(help="Unlike this item.")] = None,
    limit: Annotated[int, typer.Option(help="The most to return.")] = 10,
    where: console.Where = None,
    exclude: Annotated[list[str] | None, typer.Option(help="An item that must not come.")] = None,
    min_score: Annotated[float | None, typer.Option(help="The least score that may come.")] = None,
    diversity: Annotated[float, typer.Option(help="How much they shall differ, 0 to 1.")] = 0.0,
    max_similarity: Annotated[
        float | None, typer.Option(help="Leave out repetitions this similar to a better one.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell what each is for.")] = False,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print recommendations for an item, a user, a text, or items liked and disliked."""
    examples = akin.examples(like or (), dislike or ()) if like or dislike else None
    if sum(source is not None for source in (item, user, text, examples)) != 1:
        console.misused("give exactly one of --item, --user, --text, and --like with --dislike")
    only = console.only(where)
    with console.connected(address) as client:
        response = client.recommend_similar(
            item_id=item,
            user_id=user,
            text=text,
            examples=examples,
            limit=limit,
            where=only,
            exclude_item_ids=exclude or (),
            min_score=min_score,
            diversity=diversity,
            max_similarity=max_similarity,
            full=True,
            explain=explain,
        )
    if as_json:
        console.print_json(console.recommendations_json(response))
    else:
        title = f"For {user}" if user is not None else _title(item or text, like, dislike)
        _show(title, response)


def _show(title: str, response: akin.RecommendSimilarResponse) -> None:
    console.out.print(console.recommendations_table(title, response.recommendations))
    if response.missing_item_ids:
        typer.echo(f"not in the catalog: {', '.join(response.missing_item_ids)}", err=True)


def _title(source: str | None, like: list[str] | None, dislike: list[str] | None) -> str:
    similar, unlike = source or ", ".join(like or ()), ", ".join(dislike or ())
    if not similar:
        return f"Unlike {unlike}"
    return f"Similar to {similar}" + (f", unlike {unlike}" if unlike else "")
