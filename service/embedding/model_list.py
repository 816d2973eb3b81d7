"""The provider's list of embedding models, with context lengths and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from service.embedding.connection_errors import to_provider_error
from service.embedding.errors import ProviderUnavailable
from service.embedding.http_client import open_http_client

# Bounds the wait for the list, which only commands and cost estimates need.
LIST_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the provider lists it; a field that the provider leaves out is None.

    `usd_per_million_tokens` is 0 for free models.
    """

    model: str
    name: str
    context_tokens: int | None
    usd_per_million_tokens: float | None


async def fetch_models(base_url: str) -> list[ListedModel]:
    """Return the embedding models of an API, ordered by name; needs no key.

    Raises:
        ProviderUnavailable: the API returned no list.
        ProviderRefused: the address, its certificate or the settings of the request are the cause.
    """
    async with open_http_client(base_url, timeout=LIST_TIMEOUT_SECONDS) as client:
        try:
            response = await client.get(f"{base_url}/embeddings/models")
            response.raise_for_status()
            value = response.json()
        except httpx.HTTPStatusError as exc:
            raise ProviderUnavailable(
                f"the provider returned no list of models (HTTP {exc.response.status_code})"
            ) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise to_provider_error(exc) from exc
        except ValueError as exc:
            raise ProviderUnavailable("the provider's list of models is not JSON") from exc
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise ProviderUnavailable("the provider's list of models is malformed")
    models = [_parse_model(entry) for entry in data if isinstance(entry, dict) and entry.get("id")]
    return sorted(models, key=lambda model: model.model)


def _parse_model(entry: dict[str, Any]) -> ListedModel:
    pricing = entry.get("pricing")
    price = _parse_number(pricing.get("prompt")) if isinstance(pricing, dict) else None
    context = _parse_number(entry.get("context_length"))
    return ListedModel(
        model=str(entry["id"]),
        name=str(entry.get("name") or entry["id"]),
        context_tokens=None if context is None else int(context),
        # The API lists -1 if the price depends on the upstream that serves a request.
        usd_per_million_tokens=None if price is None or price < 0 else float(f"{price * 1e6:.6g}"),
    )


def _parse_number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
