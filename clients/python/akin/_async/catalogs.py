"""Calls for catalogs and their re-embedding."""

from __future__ import annotations

from typing import Unpack

from akin import _requests
from akin._async.connection import Connection
from akin.options import CreateCatalogOptions, DeleteOptions, ModelOptions
from akin.v1 import catalog_service_pb2 as pb


class CatalogCalls(Connection):
    """Creates, lists, deletes and re-embeds catalogs.

    A method without a `catalog` argument uses the client's catalog.
    """

    async def create_catalog(
        self, catalog: str, **options: Unpack[CreateCatalogOptions]
    ) -> pb.Catalog:
        """Creates a catalog.

        Args:
            catalog: name of the catalog, 1 to 63 characters of `[a-z0-9_-]`.
            **options: see `akin.options.CreateCatalogOptions`.
        """
        request = _requests.create_catalog(catalog, **options)
        response = await self._channel.call(self._catalogs.CreateCatalog, request)
        return response.catalog

    async def get_catalog(self, catalog: str | None = None) -> pb.Catalog:
        """Returns a catalog: its model, the number of items, the backlog and embedding usage."""
        request = pb.GetCatalogRequest(catalog=self._resolve(catalog))
        response = await self._channel.call(self._catalogs.GetCatalog, request)
        return response.catalog

    async def list_catalogs(self) -> list[pb.Catalog]:
        """Returns all catalogs, sorted by name."""
        request = pb.ListCatalogsRequest()
        response = await self._channel.call(self._catalogs.ListCatalogs, request)
        return list(response.catalogs)

    async def delete_catalog(self, catalog: str, **options: Unpack[DeleteOptions]) -> None:
        """Deletes a catalog with all its items and users. `default` cannot be deleted.

        Args:
            catalog: name of the catalog.
            **options: see `akin.options.DeleteOptions`.
        """
        request = _requests.build(pb.DeleteCatalogRequest, DeleteOptions, options, catalog=catalog)
        await self._channel.call(self._catalogs.DeleteCatalog, request)

    async def estimate_reembedding(
        self, catalog: str | None = None, **options: Unpack[ModelOptions]
    ) -> pb.EstimateReembeddingResponse:
        """Estimates the embedding usage of re-embedding a catalog.

        The server sends one short request to the embedding provider.

        Args:
            catalog: name of the catalog.
            **options: the model to embed with; see `akin.options.ModelOptions`.
        """
        request = pb.EstimateReembeddingRequest(
            catalog=self._resolve(catalog), embedding=_requests.embedding_model(options)
        )
        return await self._channel.call(self._catalogs.EstimateReembedding, request)

    async def start_reembedding(
        self, catalog: str | None = None, **options: Unpack[ModelOptions]
    ) -> pb.Reembedding:
        """Starts to re-embed a catalog and returns the progress.

        The catalog serves its current vectors until the new ones are complete.

        Args:
            catalog: name of the catalog.
            **options: the model to embed with; see `akin.options.ModelOptions`.
        """
        request = pb.StartReembeddingRequest(
            catalog=self._resolve(catalog), embedding=_requests.embedding_model(options)
        )
        response = await self._channel.call(self._catalogs.StartReembedding, request)
        return response.reembedding

    async def get_reembedding(self, catalog: str | None = None) -> pb.Reembedding:
        """Returns the progress of re-embedding a catalog."""
        request = pb.GetReembeddingRequest(catalog=self._resolve(catalog))
        response = await self._channel.call(self._catalogs.GetReembedding, request)
        return response.reembedding

    async def cancel_reembedding(self, catalog: str | None = None) -> None:
        """Cancels re-embedding; after the switch, the previous vectors serve again."""
        request = pb.CancelReembeddingRequest(catalog=self._resolve(catalog))
        await self._channel.call(self._catalogs.CancelReembedding, request)

    async def finish_reembedding(self, catalog: str | None = None) -> None:
        """Deletes the previous vectors of a catalog, after the switch."""
        request = pb.FinishReembeddingRequest(catalog=self._resolve(catalog))
        await self._channel.call(self._catalogs.FinishReembedding, request)
