"""Keyword options of the methods that create, change and re-embed catalogs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from akin.v1 import catalog_service_pb2


class ModelOptions(TypedDict, total=False):
    """Options of `start_reembedding`: the embedding model to use.

    The server's settings supply the options that are left out.

    Attributes:
        provider: embedding provider: `local`, or the one in the server's settings.
        model: name of the model, as the provider spells it.
        dimensions: vector length to request from the model; 0 means the model's own.
        template: text to embed for an item; `{text}` in it stands for the item's text.
        query_template: text to embed for a query or a preference; `{text}` stands for its text.
    """

    provider: str
    model: str
    dimensions: int
    template: str
    query_template: str


class EstimateReembeddingOptions(ModelOptions, total=False):
    """Options of `estimate_reembedding`: the embedding model to use, and the write to reflect.

    The server's settings supply the options of the model that are left out.

    Attributes:
        provider: embedding provider: `local`, or the one in the server's settings.
        model: name of the model, as the provider spells it.
        dimensions: vector length to request from the model; 0 means the model's own.
        template: text to embed for an item; `{text}` in it stands for the item's text.
        query_template: text to embed for a query or a preference; `{text}` stands for its text.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    min_sequence: int


class SettingsOptions(TypedDict, total=False):
    """How a catalog recommends, and how it learns from interactions.

    Attributes:
        signals: what recommendations are based on: text, behavior, or what predicts best.
        interaction_weights: weights by type of interaction, above 0 for a like and below 0 for a
            dislike. Other types keep their defaults.
        new_item_boost: how early new items come, from 0 to 10. With 2, they come no later than text
            alone would recommend them.
        ranking: how the similarities to several sources become one score.
        prior: the attribute by which items get higher or lower scores; `akin.AttributePrior()` for
            none.
    """

    signals: catalog_service_pb2.SignalMode.ValueType | None
    interaction_weights: Mapping[str, float] | None
    new_item_boost: float | None
    ranking: catalog_service_pb2.Ranking.ValueType | None
    prior: catalog_service_pb2.AttributePrior | None


class UpdateCatalogOptions(SettingsOptions, total=False):
    """Options of `update_catalog`: the new settings.

    None resets a setting to its default.

    Attributes:
        signals: what recommendations are based on: text, behavior, or what predicts best.
        interaction_weights: weights by type of interaction, above 0 for a like and below 0 for a
            dislike. They replace all weights of the catalog, and other types get their defaults.
        new_item_boost: how early new items come, from 0 to 10. With 2, they come no later than text
            alone would recommend them.
        ranking: how the similarities to several sources become one score.
        prior: the attribute by which items get higher or lower scores; `akin.AttributePrior()` for
            none.
        update_mask: settings to change. One in the mask that has no new value is reset. By default,
            the settings that are given.
    """

    update_mask: Sequence[str] | None


class CreateCatalogOptions(ModelOptions, SettingsOptions, total=False):
    """Options of `create_catalog`: the model, how to store vectors and texts, and the settings.

    The server's settings supply the options that are left out.

    Attributes:
        provider: embedding provider: `local`, or the one in the server's settings.
        model: name of the model, as the provider spells it.
        dimensions: vector length to request from the model; 0 means the model's own.
        template: text to embed for an item; `{text}` in it stands for the item's text.
        query_template: text to embed for a query or a preference; `{text}` stands for its text.
        vector_storage: precision of the vectors in memory.
        text_format: format of the texts of items; of HTML, the text without markup is embedded.
        index_kind: where the vectors are searched: in the memory of each server, or in a collection
            of Qdrant that all servers share.
        signals: what recommendations are based on: text, behavior, or what predicts best.
        interaction_weights: weights by type of interaction, above 0 for a like and below 0 for a
            dislike. Other types have their defaults.
        new_item_boost: how early new items come, from 0 to 10. With 2, they come no later than text
            alone would recommend them.
        ranking: how the similarities to several sources become one score.
        prior: the attribute by which items get higher or lower scores; `akin.AttributePrior()` for
            none.
    """

    vector_storage: catalog_service_pb2.VectorStorage.ValueType
    text_format: catalog_service_pb2.TextFormat.ValueType
    index_kind: catalog_service_pb2.IndexKind.ValueType
