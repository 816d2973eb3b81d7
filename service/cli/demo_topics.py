"""The topics of `akin demo`: each prints one screen about one thing that Akin does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import akin
import typer
from akin.filters import one_of

from service.cli import console
from service.cli.demo_output import (
    ID_COLUMN,
    BookTable,
    describe_model,
    find_command_line,
    show_call,
    show_heading,
    show_hints,
)
from service.domain.spaces import LOCAL_PROVIDER

# A price of small embedding models, for an example.
EXAMPLE_USD_PER_MILLION_TOKENS = 0.02

FILTER_TEXT = "a detective solves a murder"
FILTER_LANGUAGES = ("ja", "sv")

EDITED_ITEM = "book:kon-tiki"

# Copies of a book with a few other words, as a second supplier would send it.
COPIED_ITEM = "book:salt-fat-acid-heat"
COPY_ID = "supplier-2:8812"
COPY_TEXT = "cooking and the pleasures of food"
COPY_ENDING = " Paperback edition."
MAX_SIMILARITY = 0.9

# The words around each text, for a model that was not trained for books.
NEXT_TEMPLATE = "Book: {text}"

# Interval between two questions during the re-embedding.
QUESTION_SECONDS = 0.01


class Topic(NamedTuple):
    """An entry of the menu, with what it shows."""

    title: str
    show: Callable[[akin.Client], None]


def show_filter(client: akin.Client) -> None:
    """Show the same question with and without a filter."""
    show_heading("Filter by attributes: only books in Japanese or Swedish")
    table = BookTable(client)
    columns = ("author", "language")
    table.show(
        f'client.recommend_similar(text="{FILTER_TEXT}", limit=4, full=True)',
        lambda: client.recommend_similar(text=FILTER_TEXT, limit=4, full=True),
        columns=columns,
    )
    where = one_of("language", FILTER_LANGUAGES)
    typer.echo()
    table.show(
        f'where = akin.filters.one_of("language", {list(FILTER_LANGUAGES)})\n'
        "client.recommend_similar(..., where=where)",
        lambda: client.recommend_similar(text=FILTER_TEXT, limit=4, where=where, full=True),
        columns=columns,
    )
    typer.echo(
        "Filters are exact, and a response is never short while enough items match.\n"
        "There are filters for numbers, times, lists and texts too."
    )


def show_price(client: akin.Client) -> None:
    """Show what embedding costs: each text is embedded once."""
    show_heading("The price of an embedding: each text is paid for once")
    item = client.get_item(EDITED_ITEM)
    for text, comment in (
        (item.text, "the same text again"),
        (f"{item.text} With a new foreword.", "a changed text"),
    ):
        show_call(f'client.upsert_item("{item.item_id}", ...).usage    # {comment}')
        usage = client.upsert_item(item.item_id, text, dict(item.attributes.items())).usage
        console.print_line(
            f"{usage.embedded_text_count} embedded, {usage.cached_text_count} reused: "
            f"{console.format_usd(usage.cost_usd)}"
        )
    client.upsert_item(item.item_id, item.text, dict(item.attributes.items()))
    estimate = client.estimate_reembedding(provider=LOCAL_PROVIDER, template=NEXT_TEMPLATE)
    tokens = estimate.prompt_token_count
    usd = console.format_usd(tokens * EXAMPLE_USD_PER_MILLION_TOKENS / 1e6)
    typer.echo(
        f"""
The model here is {describe_model(client)}. A local model is free.
The {estimate.text_count} books have about {tokens:,} tokens. A provider that charges \
{EXAMPLE_USD_PER_MILLION_TOKENS} US dollars
per million tokens would charge {usd} for all of them, once.
"""
    )
    program = find_command_line()
    show_hints(
        {
            f"{program} models": "prints the prices of a provider",
            f"{program} import --dry-run FILE": "prints the price of an import before it",
            "AKIN_EMBEDDING_BUDGET_USD_PER_DAY": "limits the cost of a day",
        }
    )


def show_duplicates(client: akin.Client) -> None:
    """Show how a copy of a book is found, and kept out of a response."""
    show_heading("Near-duplicates: the same book from a second supplier")
    item = client.get_item(COPIED_ITEM)
    show_call(f'client.upsert_item("{COPY_ID}", text + "{COPY_ENDING}", attributes)')
    client.upsert_item(COPY_ID, item.text + COPY_ENDING, dict(item.attributes.items()))
    show_call("client.find_duplicates()")
    for event in client.find_duplicates():
        for group in event.groups.groups:
            first, *others = group.items
            for other in others:
                console.print_line(
                    f"{first.item_id} and {other.item_id}: similarity {other.similarity:.2f}"
                )
    table = BookTable(client)
    call = f'client.recommend_similar(text="{COPY_TEXT}", limit=4'
    table.show(
        f"{call})",
        lambda: client.recommend_similar(text=COPY_TEXT, limit=4, full=True),
        columns=(ID_COLUMN,),
    )
    table.show(
        f"{call}, max_similarity={MAX_SIMILARITY})",
        lambda: client.recommend_similar(
            text=COPY_TEXT, limit=4, max_similarity=MAX_SIMILARITY, full=True
        ),
        columns=(ID_COLUMN,),
    )
    client.delete_item(COPY_ID)


def show_reembedding(client: akin.Client) -> None:
    """Change the embedding space while the catalog answers, and change it back."""
    show_heading("Re-embedding: another model while the catalog answers")
    call = f'client.start_reembedding(provider="{LOCAL_PROVIDER}", template="{NEXT_TEMPLATE}")'
    show_call(f"{call}\n# ... and all the time: client.recommend_similar(...)")
    started = time.perf_counter()
    client.start_reembedding(provider=LOCAL_PROVIDER, template=NEXT_TEMPLATE)
    count, slowest = 0, 0.0
    while client.get_reembedding().state != akin.ReembeddingState.REEMBEDDING_STATE_SERVING:
        asked = time.perf_counter()
        client.recommend_similar(text=FILTER_TEXT)
        slowest = max(slowest, time.perf_counter() - asked)
        count += 1
        time.sleep(QUESTION_SECONDS)
    seconds = time.perf_counter() - started
    console.print_line(
        f"{client.get_reembedding().embedded_item_count} books embedded again in {seconds:.1f} s."
    )
    console.print_line(
        f"{count} calls were answered in that time, the slowest in {slowest * 1e3:.0f} ms."
    )
    show_call("client.rollback_reembedding()    # or commit_reembedding(), which drops the old one")
    started = time.perf_counter()
    client.rollback_reembedding()
    console.print_line(
        f"The former vectors serve again after {(time.perf_counter() - started) * 1e3:.0f} ms."
    )
    typer.echo(
        "\nHere the words around each text changed. A server with an API key of a provider\n"
        "changes the model:\n"
    )
    command = f"{find_command_line()} reembed"
    show_hints(
        {
            f"{command} --estimate --model NAME": "prints the price and the time",
            f"{command} --model NAME": "switches when all items are embedded",
        }
    )


TOPICS = (
    Topic("A filter", show_filter),
    Topic("The price of an embedding", show_price),
    Topic("Near-duplicates", show_duplicates),
    Topic("Re-embedding, without downtime", show_reembedding),
)
