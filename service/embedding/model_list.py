"""The provider's list of embedding models, with context lengths and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from service.embedding.errors import ProviderUnavailable

TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the provider lists it; None where it does not say.

    `usd_per_million_tokens` is 0 for free ones.
    """

    model: str
    name: str
    context_tokens: int | None
    usd_per_million_tokens: float | None


async def embedding_models(root: str) -> list[ListedModel]:
    """The embedding models at an API's base URL, by name; needs no key.

    Raises:
        ProviderUnavailable: there is no such list to be had.
    """
    found: list[ListedModel] = []
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        try:
            response = await client.get(f"{root}/embeddings/models")
            response.raise_for_status()
            value = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise ProviderUnavailable(f"no list of models: {type(exc).__name__}") from exc
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise ProviderUnavailable("the provider's list of models is none")
    found = [_model(each) for each in data if isinstance(each, dict) and each.get("id")]
    return sorted(found, key=lambda each: each.model)


def _model(value: dict[str, Any]) -> ListedModel:
    pricing = value.get("pricing")
    price = _number(pricing.get("prompt")) if isinstance(pricing, dict) else None
    context = _number(value.get("context_length"))
    return ListedModel(
        model=str(value["id"]),
        name=str(value.get("name") or value["id"]),
        context_tokens=None if context is None else int(context),
        # -1 stands for a price that depends on where a request ends up.
        usd_per_million_tokens=None if price is None or price < 0 else round(price * 1e6, 6),
    )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
