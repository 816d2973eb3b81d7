"""`akin models`: prints the embedding models of the provider."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from decimal import Decimal
from urllib.parse import urlsplit

from service.cli import console, options
from service.embedding.errors import ProviderError
from service.embedding.model_list import fetch_models
from service.embedding.openai_compatible import normalize_base_url
from service.settings_loading import SettingsError, check_http_variables, load_settings


def print_models(as_json: options.JsonOption = False) -> None:
    """Print the embedding models of the provider with their context lengths and prices.

    The provider is OpenRouter, which needs no API key for this, or the one at
    AKIN_EMBEDDING_BASE_URL.
    """
    host = ""
    try:
        base_url = normalize_base_url(load_settings().embedding_base_url)
        check_http_variables(base_url)
        # Without a user and a password, which the URL can have.
        host = urlsplit(base_url).netloc.rpartition("@")[2]
        models = asyncio.run(fetch_models(base_url))
    except SettingsError as exc:
        console.exit_with_error(str(exc), command="akin models", status=2)
    except ProviderError as exc:
        console.exit_with_error(
            f"the models of {host} cannot be listed: {exc}. The local model needs no provider",
            command="akin models",
        )
    if as_json:
        console.print_json([asdict(model) for model in models])
        return
    table = console.build_table(
        f"Embedding models of {host}",
        "AKIN_EMBEDDING_MODEL chooses one. akin reembed --estimate --model NAME prints what it "
        "costs to move a catalog to it",
    )
    table.add_column("model")
    table.add_column("longest text, tokens", justify="right")
    table.add_column("US dollars per million tokens", justify="right")
    for model in models:
        context, price = model.context_tokens, model.usd_per_million_tokens
        table.add_row(
            model.model,
            "unknown" if context is None else str(context),
            _format_price(price),
        )
    console.out.print(table)


def _format_price(price: float | None) -> str:
    """Return a price without an exponent; None, also of a price that varies, is unknown."""
    if price is None:
        return "unknown"
    return f"{Decimal(str(price)).normalize():f}" if price else "free"
