"""`akin demo`: shows recommendations from a sample catalog, with a server of its own."""

from __future__ import annotations

import os
import tempfile
from importlib import resources
from pathlib import Path

import akin
import typer

from service.cli import console
from service.cli.connection import ConnectionOptions, open_client
from service.cli.formats.detection import open_records
from service.cli.import_output import print_summary
from service.cli.importer import Importer
from service.cli.recommendation_output import build_recommendation_table
from service.cli.temporary_server import run_temporary_server

DEMO_ITEM = "book:dune"
DEMO_TEXT = "a detective follows a case that powerful people want closed"
DEMO_USER = "demo-reader"
DEMO_PREFERENCES = (
    "sailing ships, storms and long voyages",
    "cooking and the pleasures of food",
    akin.Preference(text="horror, ghosts and haunted houses", weight=-1.0),
)
DEMO_LIKED_ITEMS = ("book:the-martian",)

SAMPLE_BOOKS = Path(str(resources.files("service.cli") / "sample" / "books.jsonl"))


def run_demo() -> None:
    """Start a temporary server, import sample books and print recommendations."""
    with (
        tempfile.TemporaryDirectory(prefix="akin-demo-") as folder,
        run_temporary_server(folder) as address,
    ):
        typer.echo(f"A server runs on {address}, with its data in a temporary folder.\n")
        with open_client(address, ConnectionOptions()) as client:
            _print_recommendations(client)
    typer.echo(
        "\nThe server of the demo has stopped. To run one yourself:\n"
        "  make serve                                    (in one terminal)\n"
        f"  .venv/bin/akin import {os.path.relpath(SAMPLE_BOOKS)}   (in another)\n"
        f'  .venv/bin/akin recommend --text "{DEMO_TEXT}"'
    )


def _print_recommendations(client: akin.Client) -> None:
    with console.show_bytes("import", SAMPLE_BOOKS.stat().st_size) as bar:
        records = open_records(str(SAMPLE_BOOKS), lambda count: bar.advance(bar.task_ids[0], count))
        summary = Importer(client, bar).run(records.rows)
    print_summary(summary, as_json=False)
    client.upsert_user(DEMO_USER, DEMO_PREFERENCES, DEMO_LIKED_ITEMS)
    title = client.get_item(DEMO_ITEM).attributes.fields["title"].string_value
    for heading, response in (
        (f"Books like {title}", client.recommend_similar(item_id=DEMO_ITEM, limit=5, full=True)),
        (
            "Books for a reader who likes ships, food and The Martian, and dislikes horror",
            client.recommend_similar(user_id=DEMO_USER, limit=8, full=True, explain=True),
        ),
        (
            f'Books for the text "{DEMO_TEXT}"',
            client.recommend_similar(text=DEMO_TEXT, limit=5, full=True),
        ),
    ):
        typer.echo()
        console.out.print(build_recommendation_table(heading, response.recommendations))
