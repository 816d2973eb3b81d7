"""Requests for catalogs from plain Python values, for both clients."""

from __future__ import annotations

from typing import Unpack

from akin._requests import build_mask, check_options
from akin.options import (
    CreateCatalogOptions,
    EstimateReembeddingOptions,
    ModelOptions,
    SettingsOptions,
    UpdateCatalogOptions,
)
from akin.v1 import catalog_service_pb2

SETTINGS = ("signals", "interaction_weights", "new_item_boost", "ranking", "prior")


def create_catalog(
    catalog: str, **options: Unpack[CreateCatalogOptions]
) -> catalog_service_pb2.CreateCatalogRequest:
    """Build a request to create a catalog.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(CreateCatalogOptions, options)
    vector_storage = options.pop("vector_storage", catalog_service_pb2.VECTOR_STORAGE_UNSPECIFIED)
    text_format = options.pop("text_format", catalog_service_pb2.TEXT_FORMAT_UNSPECIFIED)
    index_kind = options.pop("index_kind", catalog_service_pb2.INDEX_KIND_UNSPECIFIED)
    settings = _pop_settings(options)
    return catalog_service_pb2.CreateCatalogRequest(
        catalog=catalog,
        embedding=embedding_model(options),
        vector_storage=vector_storage,
        text_format=text_format,
        settings=settings,
        index_kind=index_kind,
    )


def update_catalog(
    catalog: str, **options: Unpack[UpdateCatalogOptions]
) -> catalog_service_pb2.UpdateCatalogRequest:
    """Build a request to change the settings of a catalog that are given, or those of the mask.

    Raises:
        TypeError: a keyword is not an option of the method.
        ValueError: the mask is a single string.
    """
    check_options(UpdateCatalogOptions, options)
    mask = build_mask(options.pop("update_mask", None), options, SETTINGS)
    return catalog_service_pb2.UpdateCatalogRequest(
        catalog=catalog, settings=_pop_settings(options), update_mask=mask
    )


def _pop_settings(options: SettingsOptions) -> catalog_service_pb2.CatalogSettings | None:
    """Return the settings that are among the options, and remove them there; None without any."""
    settings = catalog_service_pb2.CatalogSettings(
        signals=options.pop("signals", None) or catalog_service_pb2.SIGNAL_MODE_UNSPECIFIED,
        interaction_weights=options.pop("interaction_weights", None),
        new_item_boost=options.pop("new_item_boost", None) or 0.0,
        ranking=options.pop("ranking", None) or catalog_service_pb2.RANKING_UNSPECIFIED,
        prior=options.pop("prior", None),
    )
    return settings if settings.ByteSize() else None


def estimate_reembedding(
    catalog: str, **options: Unpack[EstimateReembeddingOptions]
) -> catalog_service_pb2.EstimateReembeddingRequest:
    """Build a request to estimate the re-embedding of a catalog.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(EstimateReembeddingOptions, options)
    min_sequence = options.pop("min_sequence", 0)
    return catalog_service_pb2.EstimateReembeddingRequest(
        catalog=catalog, embedding=embedding_model(options), min_sequence=min_sequence
    )


def embedding_model(options: ModelOptions) -> catalog_service_pb2.EmbeddingModel | None:
    """Return the model to embed a catalog with; None leaves the choice to the server.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(ModelOptions, options)
    return catalog_service_pb2.EmbeddingModel(**options) if options else None
