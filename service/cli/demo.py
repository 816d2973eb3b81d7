"""`akin demo`: the whole service on a sample catalog, in one command."""

from __future__ import annotations

import os
import tempfile
from importlib import resources
from pathlib import Path

import akin
import typer

from service.cli import console
from service.cli.import_ import Importer, report
from service.cli.temporary_server import temporary_server

ITEM = "book:dune"
TEXT = "a detective follows a case that powerful people want closed"
USER = "demo-reader"
PREFERENCES = (
    "sailing ships, storms and long voyages",
    "cooking and the pleasures of food",
    akin.Preference(text="horror, ghosts and haunted houses", weight=-1.0),
)
LIKED = ("book:the-martian",)

SAMPLE = Path(str(resources.files("service.cli") / "sample" / "books.jsonl"))


def demo() -> None:
    """Start a server on a free port, import sample books and print recommendations."""
    with (
        tempfile.TemporaryDirectory(prefix="akin-demo-") as folder,
        temporary_server(folder) as address,
    ):
        typer.echo(f"A server runs on {address}, with its data in a temporary folder.\n")
        with console.connected(address) as client:
            _show(client)
    typer.echo(
        "\nThe demo's server has stopped. To keep one running:\n"
        "  make serve                                    (in one terminal)\n"
        f"  .venv/bin/akin import {os.path.relpath(SAMPLE)}   (in another)\n"
        f'  .venv/bin/akin recommend --text "{TEXT}"'
    )


def _show(client: akin.Client) -> None:
    size = SAMPLE.stat().st_size
    with console.progress("import", size) as bar, SAMPLE.open("rb") as lines:
        outcome = Importer(client, bar).run(lines)
    report(outcome, as_json=False)
    client.upsert_user(USER, PREFERENCES, LIKED)
    title = client.get_item(ITEM).attributes.fields["title"].string_value
    profile = "likes ships, food and The Martian, dislikes horror"
    for heading, response in (
        (f"Books like {title}", client.recommend_similar(item_id=ITEM, limit=5, full=True)),
        (
            f"Books for a reader who {profile}",
            client.recommend_similar(user_id=USER, limit=8, full=True, explain=True),
        ),
        (f'Books for the text "{TEXT}"', client.recommend_similar(text=TEXT, limit=5, full=True)),
    ):
        typer.echo()
        console.out.print(console.recommendations_table(heading, response.recommendations))
