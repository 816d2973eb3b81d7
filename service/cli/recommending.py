"""`akin recommend`: asks a server for recommendations."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli import console


def recommend(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    item: Annotated[str | None, typer.Option(help="Similar to this item.")] = None,
    user: Annotated[str | None, typer.Option(help="For this user.")] = None,
    text: Annotated[str | None, typer.Option(help="Similar to this text.")] = None,
    limit: Annotated[int, typer.Option(help="The most to return.")] = 10,
    exclude: Annotated[list[str] | None, typer.Option(help="An item that must not come.")] = None,
    min_score: Annotated[float | None, typer.Option(help="The least score that may come.")] = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print recommendations for an item, a user or a text."""
    if sum(source is not None for source in (item, user, text)) != 1:
        typer.echo("akin: give exactly one of --item, --user and --text", err=True)
        raise typer.Exit(2)
    with console.connected(address) as client:
        response = client.recommend_similar(
            item_id=item,
            user_id=user,
            text=text,
            limit=limit,
            exclude_item_ids=exclude or (),
            min_score=min_score,
            full=True,
        )
    if as_json:
        console.print_json(console.recommendations_json(response))
        return
    title = f"Similar to {item or text}" if user is None else f"For {user}"
    console.out.print(console.recommendations_table(title, response.recommendations))
    if response.missing_item_ids:
        typer.echo(f"not in the catalog: {', '.join(response.missing_item_ids)}", err=True)
