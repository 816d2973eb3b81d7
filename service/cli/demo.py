"""`akin demo`: shows recommendations from a sample catalog, with a server of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Annotated

import akin
import typer

from service.cli import console
from service.cli.connection import ConnectionOptions, open_client
from service.cli.demo_output import BookTable, describe_model, find_command_line, show_heading
from service.cli.demo_topics import TOPICS
from service.cli.formats.detection import open_records
from service.cli.importer import Importer, ImportSummary
from service.cli.options import DEFAULT_ADDRESS
from service.cli.temporary_server import run_temporary_server
from service.cli.web_console import DEFAULT_LISTEN, run_console

DEMO_ITEM = "book:the-martian"
DEMO_TEXT = "how to cook well and why recipes work"
DEMO_USER = "demo-reader"
DEMO_PREFERENCES = (
    "expeditions, mountains and the sea",
    akin.Preference(text="science fiction", weight=-1.0),
)
DEMO_LIKED_ITEMS = ("book:winnie-the-pooh",)

# A shorter entry, such as `9`, `q` or `?`, is not a question.
MIN_QUESTION_LETTERS = 3

# In a checkout only: packages contain the build.
CONSOLE_SOURCES = Path(str(resources.files("service"))).with_name("console") / "package.json"

SAMPLE_BOOKS = Path(str(resources.files("service.cli") / "sample" / "books.jsonl"))


def run_demo(
    show_all: Annotated[
        bool, typer.Option("--all", help="Show everything and end, without a menu.")
    ] = False,
    with_console: Annotated[
        bool,
        typer.Option(
            "--console",
            help="On a terminal, then serve the web console of the sample until Ctrl+C.",
        ),
    ] = False,
) -> None:
    """Start a temporary server, import sample books and show what Akin does with them.

    On a terminal, a menu offers more topics and your own questions.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    has_menu = on_terminal and not show_all
    with (
        tempfile.TemporaryDirectory(prefix="akin-demo-") as folder,
        run_temporary_server(folder) as address,
        open_client(address, ConnectionOptions()) as client,
    ):
        typer.echo(f"A server runs on {address}, with its data in a temporary folder.")
        summary = _import_books(client)
        typer.echo(
            f"{summary.items} books stored in {summary.seconds:.1f} s, embedded by "
            f"{describe_model(client)}: {console.format_usd(summary.cost_usd)}"
        )
        _show_questions(client)
        if has_menu:
            _run_menu(client)
        else:
            for topic in TOPICS:
                topic.show(client)
        if with_console and on_terminal:
            typer.echo()
            run_console(DEFAULT_LISTEN, address, ConnectionOptions())
    _show_next_steps(names_console=not with_console)


def _import_books(client: akin.Client) -> ImportSummary:
    with console.show_bytes("import", SAMPLE_BOOKS.stat().st_size) as bar:
        records = open_records(str(SAMPLE_BOOKS), lambda count: bar.advance(bar.task_ids[0], count))
        return Importer(client, bar).run(records.rows)


def _show_questions(client: akin.Client) -> None:
    table = BookTable(client)
    show_heading(f"Books like {_get_title(client, DEMO_ITEM)}")
    table.show(
        f'client.recommend_similar(item_id="{DEMO_ITEM}", limit=5, full=True)',
        lambda: client.recommend_similar(item_id=DEMO_ITEM, limit=5, full=True),
        columns=("genres",),
    )
    show_heading("Books for a text")
    _answer(client, DEMO_TEXT)
    show_heading(
        "Books for a reader who likes expeditions and Winnie-the-Pooh, and dislikes science fiction"
    )
    client.upsert_user(DEMO_USER, DEMO_PREFERENCES, DEMO_LIKED_ITEMS)
    table.show(
        f'client.recommend_similar(user_id="{DEMO_USER}", limit=6, full=True, explain=True)',
        lambda: client.recommend_similar(user_id=DEMO_USER, limit=6, full=True, explain=True),
        sources={item_id: _get_title(client, item_id) for item_id in DEMO_LIKED_ITEMS},
    )


def _get_title(client: akin.Client, item_id: str) -> str:
    return client.get_item(item_id).attributes.fields["title"].string_value


def _answer(client: akin.Client, text: str) -> None:
    """Show the books that are most similar to a text."""
    BookTable(client).show(
        f'client.recommend_similar(text="{text}", limit=5, full=True)',
        lambda: client.recommend_similar(text=text, limit=5, full=True),
        columns=("genres",),
    )


def _run_menu(client: akin.Client) -> None:
    """Show topics and answer questions until the reader enters nothing."""
    while True:
        typer.echo()
        for number, topic in enumerate(TOPICS, start=1):
            typer.echo(f"  {number}  {topic.title}")
        try:
            choice = input("A number, your own question in English, or Enter to end: ").strip()
        except EOFError:
            typer.echo()
            return
        if not choice:
            return
        if sum(map(str.isalpha, choice)) < MIN_QUESTION_LETTERS:
            _show_topic(client, choice)
        else:
            _answer_question(client, choice)


def _show_topic(client: akin.Client, choice: str) -> None:
    """Show the topic with a number, or say which numbers there are."""
    topics = {str(number): topic for number, topic in enumerate(TOPICS, start=1)}
    if topic := topics.get(choice):
        topic.show(client)
    else:
        console.print_line(
            f"{choice} is not in the menu: enter a number from 1 to {len(topics)}, a question, or "
            "nothing to end"
        )


def _answer_question(client: akin.Client, text: str) -> None:
    """Show the books for a text, or say why the server refuses it."""
    typer.echo()
    try:
        _answer(client, text)
    except akin.AkinError as exc:
        if not exc.violations:
            raise
        problems = "; ".join(violation.description for violation in exc.violations)
        console.print_line(f"the text {problems}: try other words in English")


def _show_next_steps(*, names_console: bool) -> None:
    program = find_command_line()
    sample = os.path.relpath(SAMPLE_BOOKS)
    typer.echo(
        f"""
The server of the demo has stopped, and its data is deleted. To go on, run a server:

  {program} serve

In another terminal, import a file of JSON lines, CSV or Parquet, here the sample, and ask:

  {program} import {sample}
  {program} recommend --text "{DEMO_TEXT}"

From Python, with the package akin-client (pip install ./clients/python):

  import akin

  with akin.Client("{DEFAULT_ADDRESS}") as client:
      client.upsert_item("shoe-1", "Trail running shoes with a grippy sole")
      for hit in client.recommend_similar(text="jogging", full=True).recommendations:
          print(hit.score, hit.item_id, hit.item.text)"""
    )
    if names_console:
        command = _find_console_command(program)
        typer.echo(f"\nTo see in a browser what is recommended, and why: {command}")


def _find_console_command(program: str) -> str:
    """Return the command for the demo with a console, which only a checkout has to build."""
    return "make demo CONSOLE=1" if CONSOLE_SOURCES.exists() else f"{program} demo --console"
