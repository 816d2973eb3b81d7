"""`akin models`: which models the provider embeds with."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import typer
from rich.table import Table

from service.cli import console
from service.embedding.errors import ProviderError
from service.embedding.model_list import fetch_models
from service.embedding.openai_compatible import normalize_base_url
from service.settings import SettingsError, load_settings


def models(as_json: console.AsJson = False) -> None:
    """Print the provider's embedding models with context lengths and prices."""
    try:
        listed = asyncio.run(fetch_models(normalize_base_url(load_settings().embedding_base_url)))
    except (SettingsError, ProviderError) as exc:
        typer.echo(f"akin models: {exc}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        console.print_json([asdict(each) for each in listed])
        return
    table = Table()
    table.add_column("model")
    table.add_column("context, tokens", justify="right")
    table.add_column("US dollars per million tokens", justify="right")
    for each in listed:
        price = each.usd_per_million_tokens
        table.add_row(
            each.model,
            "?" if each.context_tokens is None else str(each.context_tokens),
            "varies" if price is None else f"{price:g}",
        )
    console.out.print(table)
