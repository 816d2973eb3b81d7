"""The embedder of a model that the settings give no access to."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import ProviderRefused
from service.settings import Settings


class UnavailableEmbedder:
    """An Embedder that refuses every batch, so that calls without new texts are still served."""

    limits = BatchLimits(texts=256, tokens=100_000, text_tokens=512)

    def __init__(self, space: Space, message: str) -> None:
        self.space = space
        self._message = message

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Raise ProviderRefused."""
        del texts
        raise ProviderRefused(self._message)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def explain_missing_access(settings: Settings, space: Space) -> str:
    """Return why the settings give no access to the model of a space, and what the operator can do.

    Args:
        settings: those of the server.
        space: that of a catalog; of another local model, or of a provider that is not
            `settings.remote_kind`.
    """
    if space.is_local:
        return (
            f"the catalog is embedded with the local model {space.model}, which this version of "
            "the server does not have: start the version that stored the catalog, or run "
            "`akin reembed --provider local`"
        )
    variables = ["OPENROUTER_API_KEY"]
    if space.provider == "openai":
        variables = ["AKIN_EMBEDDING_BASE_URL", "AKIN_EMBEDDING_MODEL"]
    # Without a provider of its own, a server with the local model takes that of these settings.
    if settings.remote_kind is not None:
        variables.insert(0, f"AKIN_EMBEDDER={space.provider}")
    remedy = f"set {' and '.join(variables)}"
    if space.provider == "openrouter" and "embedding_base_url" in settings.model_fields_set:
        # Otherwise that host would receive the key of OpenRouter and the texts.
        remedy += ", and unset AKIN_EMBEDDING_BASE_URL"
    return (
        f"the catalog is embedded with {space.model} ({space.provider}), to which the settings "
        f"give no access: {remedy}, or run `akin reembed` for another model"
    )
