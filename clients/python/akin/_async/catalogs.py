"""Calls for catalogs and their re-embedding."""

from __future__ import annotations

from typing import Unpack

from akin import _catalog_requests, _requests
from akin._async.connection import Connection
from akin.options import (
    CreateCatalogOptions,
    DeleteOptions,
    EstimateReembeddingOptions,
    ModelOptions,
    ReadOptions,
    UpdateCatalogOptions,
)
from akin.v1 import catalog_service_pb2 as pb


class CatalogCalls(Connection):
    """Calls that create, change, list, delete, re-embed and reindex catalogs.

    A method without a `catalog` argument uses the client's catalog.
    """

    async def create_catalog(
        self, catalog: str, **options: Unpack[CreateCatalogOptions]
    ) -> pb.Catalog:
        """Create a catalog.

        Args:
            catalog: name of the catalog, 1 to 63 characters of `[a-z0-9_-]`.
            **options: see `akin.options.CreateCatalogOptions`.
        """
        request = _catalog_requests.create_catalog(catalog, **options)
        response = await self._channel.call(self._catalogs.CreateCatalog, request)
        return response.catalog

    async def get_catalog(
        self, catalog: str | None = None, **options: Unpack[ReadOptions]
    ) -> pb.Catalog:
        """Return a catalog with its statistics.

        Args:
            catalog: name of the catalog.
            **options: see `akin.options.ReadOptions`.
        """
        request = _requests.build(
            pb.GetCatalogRequest, ReadOptions, options, catalog=self._resolve(catalog)
        )
        response = await self._channel.call(self._catalogs.GetCatalog, request)
        return response.catalog

    async def update_catalog(
        self, catalog: str | None = None, **options: Unpack[UpdateCatalogOptions]
    ) -> pb.Catalog:
        """Change some settings of a catalog, and keep the others.

            client.update_catalog(interaction_weights={"VIEW": 0.1, "ADD_TO_CART": 0.7})

        Args:
            catalog: name of the catalog.
            **options: the new settings; see `akin.options.UpdateCatalogOptions`.

        Raises:
            ValueError: `update_mask` is a single string.
        """
        request = _catalog_requests.update_catalog(self._resolve(catalog), **options)
        response = await self._channel.call(self._catalogs.UpdateCatalog, request)
        return response.catalog

    async def list_catalogs(self, **options: Unpack[ReadOptions]) -> list[pb.Catalog]:
        """Return all catalogs with their statistics, by ascending name.

        Args:
            **options: see `akin.options.ReadOptions`.
        """
        request = _requests.build(pb.ListCatalogsRequest, ReadOptions, options)
        response = await self._channel.call(self._catalogs.ListCatalogs, request)
        return list(response.catalogs)

    async def delete_catalog(self, catalog: str, **options: Unpack[DeleteOptions]) -> None:
        """Delete a catalog with all its items and users. `default` cannot be deleted.

        Args:
            catalog: name of the catalog.
            **options: see `akin.options.DeleteOptions`.
        """
        request = _requests.build(pb.DeleteCatalogRequest, DeleteOptions, options, catalog=catalog)
        await self._channel.call(self._catalogs.DeleteCatalog, request)

    async def estimate_reembedding(
        self, catalog: str | None = None, **options: Unpack[EstimateReembeddingOptions]
    ) -> pb.EstimateReembeddingResponse:
        """Estimate the embedding usage of re-embedding a catalog.

        The server sends one short request to the embedding provider.

        Args:
            catalog: name of the catalog.
            **options: see `akin.options.EstimateReembeddingOptions`.
        """
        request = _catalog_requests.estimate_reembedding(self._resolve(catalog), **options)
        return await self._channel.call(self._catalogs.EstimateReembedding, request)

    async def start_reembedding(
        self, catalog: str | None = None, **options: Unpack[ModelOptions]
    ) -> pb.Reembedding:
        """Start to re-embed a catalog, and return the progress.

        The catalog serves its current vectors until the new ones are complete.

        Args:
            catalog: name of the catalog.
            **options: the model to embed with; see `akin.options.ModelOptions`.
        """
        request = pb.StartReembeddingRequest(
            catalog=self._resolve(catalog), embedding=_catalog_requests.embedding_model(options)
        )
        response = await self._channel.call(self._catalogs.StartReembedding, request)
        return response.reembedding

    async def get_reembedding(
        self, catalog: str | None = None, **options: Unpack[ReadOptions]
    ) -> pb.Reembedding:
        """Return the progress of the re-embedding of a catalog.

        Args:
            catalog: name of the catalog.
            **options: see `akin.options.ReadOptions`.
        """
        request = _requests.build(
            pb.GetReembeddingRequest, ReadOptions, options, catalog=self._resolve(catalog)
        )
        response = await self._channel.call(self._catalogs.GetReembedding, request)
        return response.reembedding

    async def cancel_reembedding(self, catalog: str | None = None) -> None:
        """Cancel a re-embedding before the switch, and drop the next generation."""
        request = pb.CancelReembeddingRequest(catalog=self._resolve(catalog))
        await self._channel.call(self._catalogs.CancelReembedding, request)

    async def rollback_reembedding(self, catalog: str | None = None) -> None:
        """Roll back a re-embedding after the switch: the previous generation serves again."""
        request = pb.RollbackReembeddingRequest(catalog=self._resolve(catalog))
        await self._channel.call(self._catalogs.RollbackReembedding, request)

    async def commit_reembedding(self, catalog: str | None = None) -> None:
        """Commit a re-embedding after the switch: drop the previous generation."""
        request = pb.CommitReembeddingRequest(catalog=self._resolve(catalog))
        await self._channel.call(self._catalogs.CommitReembedding, request)

    async def reindex(
        self, index_kind: pb.IndexKind.ValueType, catalog: str | None = None
    ) -> pb.Catalog:
        """Start to change the kind of index of a catalog, and return the catalog.

        The present index serves until the other one has every item. The kind that the catalog has
        cancels a change that is under way.
        """
        request = pb.ReindexRequest(catalog=self._resolve(catalog), index_kind=index_kind)
        response = await self._channel.call(self._catalogs.Reindex, request)
        return response.catalog
