"""What is known of models beyond what a provider's API tells: widths, contexts, templates.

The API has no widths, and some families need words around a text. Sources: the models' cards. What
is not here is asked from the provider or taken from the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

BARE = "{text}"
CONTEXT_TOKENS = 512
"""Of a model that neither this table nor the provider knows: what most models take at least."""


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models whose names hold `name`.

    `template` is for items and `query_template` for texts that items are looked for with. Items are
    compared with each other, so that a family with different words for questions and documents
    gets the same words on both sides of that.
    """

    name: str
    template: str = BARE
    query_template: str = BARE
    context_tokens: int = CONTEXT_TOKENS


_QWEN = "Instruct: Given a description of interests, retrieve items that match it\nQuery: {text}"
_BGE = "Represent this sentence for searching relevant passages: {text}"

# The first whose name is in the model's name counts.
FAMILIES = (
    ModelFamily("multilingual-e5", "query: {text}", "query: {text}"),
    ModelFamily("e5-large", "query: {text}", "query: {text}"),
    ModelFamily("e5-base", "query: {text}", "query: {text}"),
    ModelFamily("e5-small", "query: {text}", "query: {text}"),
    ModelFamily("qwen3-embedding", BARE, _QWEN, 32_000),
    ModelFamily("bge-m3", context_tokens=8_192),
    ModelFamily("bge-large-en", BARE, _BGE),
    ModelFamily("bge-base-en", BARE, _BGE),
    ModelFamily("bge-small-en", BARE, _BGE),
    ModelFamily("text-embedding-3", context_tokens=8_192),
    ModelFamily("text-embedding-ada-002", context_tokens=8_192),
    ModelFamily("gemini-embedding", context_tokens=2_048),
    ModelFamily("mistral-embed", context_tokens=8_192),
    ModelFamily("codestral-embed", context_tokens=8_192),
)

# Default widths, for a start while the provider cannot be asked.
WIDTHS = {
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


def family(model: str) -> ModelFamily:
    """What is known of a model's family; bare texts and a short context if nothing is."""
    name = model.lower()
    return next((each for each in FAMILIES if each.name in name), ModelFamily(""))
