"""CatalogService: each method parses its request, calls one use case and words the response."""

from __future__ import annotations

from akin.v1 import catalog_service_pb2 as pb

from service.api.messages import catalogs
from service.api.messages.catalog_settings import parse_update_catalog
from service.api.messages.index_choice import parse_reindex
from service.catalog.admin import CatalogAdmin
from service.catalog.handle import CatalogSource
from service.catalog.reembedding import Reembeddings
from service.catalog.reindexing import Reindexing
from service.catalog.stored_changes import reply_after_change


class CatalogServicer:
    """Serves akin.v1.CatalogService; any method may raise AkinError."""

    def __init__(
        self,
        catalogs: CatalogSource,
        admin: CatalogAdmin,
        reembeddings: Reembeddings,
        reindexing: Reindexing,
    ) -> None:
        self._catalogs = catalogs
        self._admin = admin
        self._reembeddings = reembeddings
        self._reindexing = reindexing

    async def CreateCatalog(self, request: pb.CreateCatalogRequest) -> pb.CreateCatalogResponse:
        """Create a catalog."""
        creation = catalogs.parse_create_catalog(request)
        await self._admin.create(
            creation.name,
            creation.model,
            creation.vector_storage,
            creation.text_format,
            creation.settings,
            creation.index,
        )
        with reply_after_change():
            async with self._catalogs.use(creation.name) as catalog:
                stats = await catalog.stats.read()
        return pb.CreateCatalogResponse(catalog=catalogs.catalog_message(stats))

    async def GetCatalog(self, request: pb.GetCatalogRequest) -> pb.GetCatalogResponse:
        """Return a catalog with its statistics."""
        catalogs.parse_get_catalog(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            stats = await catalog.stats.read()
        return pb.GetCatalogResponse(catalog=catalogs.catalog_message(stats))

    async def UpdateCatalog(self, request: pb.UpdateCatalogRequest) -> pb.UpdateCatalogResponse:
        """Change some settings of a catalog."""
        update = parse_update_catalog(request)
        async with self._catalogs.use(update.name) as catalog:
            await self._admin.update_settings(update.name, update.settings, update.fields)
            with reply_after_change():
                stats = await catalog.stats.read()
        return pb.UpdateCatalogResponse(catalog=catalogs.catalog_message(stats))

    async def ListCatalogs(self, request: pb.ListCatalogsRequest) -> pb.ListCatalogsResponse:
        """Return all catalogs with their statistics."""
        catalogs.parse_list_catalogs(request)
        stats = await self._catalogs.read_stats(request.min_sequence)
        return pb.ListCatalogsResponse(catalogs=map(catalogs.catalog_message, stats))

    async def DeleteCatalog(self, request: pb.DeleteCatalogRequest) -> pb.DeleteCatalogResponse:
        """Delete a catalog."""
        name = catalogs.parse_delete_catalog(request)
        await self._admin.delete(name, allow_missing=request.allow_missing)
        return pb.DeleteCatalogResponse()

    async def EstimateReembedding(
        self, request: pb.EstimateReembeddingRequest
    ) -> pb.EstimateReembeddingResponse:
        """Estimate the usage and duration of re-embedding."""
        model = catalogs.parse_estimate_reembedding(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            estimate = await self._reembeddings.estimate(catalog.record, model)
        return catalogs.estimate_message(estimate)

    async def StartReembedding(
        self, request: pb.StartReembeddingRequest
    ) -> pb.StartReembeddingResponse:
        """Start to re-embed a catalog."""
        model = catalogs.parse_start_reembedding(request)
        async with self._catalogs.use(request.catalog) as catalog:
            reembedding = await self._reembeddings.start(catalog.record, model)
        return pb.StartReembeddingResponse(reembedding=catalogs.reembedding_message(reembedding))

    async def GetReembedding(self, request: pb.GetReembeddingRequest) -> pb.GetReembeddingResponse:
        """Return the progress of re-embedding."""
        catalogs.parse_get_reembedding(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            reembedding = await self._reembeddings.get(catalog.record)
        return pb.GetReembeddingResponse(reembedding=catalogs.reembedding_message(reembedding))

    async def CancelReembedding(
        self, request: pb.CancelReembeddingRequest
    ) -> pb.CancelReembeddingResponse:
        """Drop the next generation, before the switch."""
        catalogs.parse_catalog(request)
        async with self._catalogs.use(request.catalog) as catalog:
            await self._reembeddings.cancel(catalog.record)
        return pb.CancelReembeddingResponse()

    async def RollbackReembedding(
        self, request: pb.RollbackReembeddingRequest
    ) -> pb.RollbackReembeddingResponse:
        """Serve the previous generation again, after the switch."""
        catalogs.parse_catalog(request)
        async with self._catalogs.use(request.catalog) as catalog:
            await self._reembeddings.rollback(catalog.record)
        return pb.RollbackReembeddingResponse()

    async def CommitReembedding(
        self, request: pb.CommitReembeddingRequest
    ) -> pb.CommitReembeddingResponse:
        """Drop the previous generation, after the switch."""
        catalogs.parse_catalog(request)
        async with self._catalogs.use(request.catalog) as catalog:
            await self._reembeddings.commit(catalog.record)
        return pb.CommitReembeddingResponse()

    async def Reindex(self, request: pb.ReindexRequest) -> pb.ReindexResponse:
        """Start to change the kind of index of a catalog."""
        name, index = parse_reindex(request)
        await self._reindexing.start(name, index)
        with reply_after_change():
            async with self._catalogs.use(name) as catalog:
                stats = await catalog.stats.read()
        return pb.ReindexResponse(catalog=catalogs.catalog_message(stats))
