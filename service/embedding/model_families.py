"""Facts about models that a provider's API does not report: dimensions, contexts and templates.

The source is each model's card. The dimensions of other models are requested from the provider, or
come from the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

# The template of models that embed a text without words around it.
PLAIN_TEMPLATE = "{text}"

# The context of a model that is not in this table: most models accept at least as much.
DEFAULT_CONTEXT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """The models whose names contain `name`.

    `template` is for texts of items, and `query_template` for query texts. Items are also compared
    with each other, so a family with different templates for queries and documents uses the same
    one for both items.
    """

    name: str
    template: str = PLAIN_TEMPLATE
    query_template: str = PLAIN_TEMPLATE
    context_tokens: int = DEFAULT_CONTEXT_TOKENS


_QWEN = "Instruct: Given a description of interests, retrieve items that match it\nQuery: {text}"
_BGE = "Represent this sentence for searching relevant passages: {text}"

# The first family whose name is in the model's name applies.
FAMILIES = (
    ModelFamily("multilingual-e5", "query: {text}", "query: {text}"),
    ModelFamily("e5-large", "query: {text}", "query: {text}"),
    ModelFamily("e5-base", "query: {text}", "query: {text}"),
    ModelFamily("e5-small", "query: {text}", "query: {text}"),
    ModelFamily("qwen3-embedding", PLAIN_TEMPLATE, _QWEN, 32_000),
    ModelFamily("bge-m3", context_tokens=8_192),
    ModelFamily("bge-large-en", PLAIN_TEMPLATE, _BGE),
    ModelFamily("bge-base-en", PLAIN_TEMPLATE, _BGE),
    ModelFamily("bge-small-en", PLAIN_TEMPLATE, _BGE),
    ModelFamily("text-embedding-3", context_tokens=8_192),
    ModelFamily("text-embedding-ada-002", context_tokens=8_192),
    ModelFamily("gemini-embedding", context_tokens=2_048),
    ModelFamily("mistral-embed", context_tokens=8_192),
    ModelFamily("codestral-embed", context_tokens=8_192),
)

# Default dimensions, for a start while the provider does not respond.
DEFAULT_DIMENSIONS = {
    "openai/text-embedding-3-small": 1536,
    "openai/text-embedding-3-large": 3072,
    "openai/text-embedding-ada-002": 1536,
    "qwen/qwen3-embedding-0.6b": 1024,
    "qwen/qwen3-embedding-4b": 2560,
    "qwen/qwen3-embedding-8b": 4096,
    "google/gemini-embedding-001": 3072,
    "mistralai/mistral-embed-2312": 1024,
    "baai/bge-m3": 1024,
    "baai/bge-large-en-v1.5": 1024,
    "baai/bge-base-en-v1.5": 768,
    "intfloat/multilingual-e5-large": 1024,
    "intfloat/e5-large-v2": 1024,
    "intfloat/e5-base-v2": 768,
    "thenlper/gte-large": 1024,
    "thenlper/gte-base": 768,
    "sentence-transformers/all-minilm-l6-v2": 384,
    "sentence-transformers/all-mpnet-base-v2": 768,
}


def find_family(model: str) -> ModelFamily:
    """Return the family of a model; plain templates and a short context if none is known."""
    name = model.lower()
    return next((family for family in FAMILIES if family.name in name), ModelFamily(""))
