"""CatalogService: each method words one use case."""

from __future__ import annotations

from akin.v1 import catalog_service_pb2 as pb

from service.api.messages import catalogs, convert
from service.api.recommender_servicer import Services


class CatalogServicer:
    """Answers the calls of akin.v1.CatalogService; any method may raise AkinError."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def CreateCatalog(self, request: pb.CreateCatalogRequest) -> pb.CreateCatalogResponse:
        """Makes a catalog."""
        found: convert.Violations = []
        storage = catalogs.storage(request.vector_storage, found)
        figures = await self._services.directory.create(
            request.catalog, catalogs.choice(request.embedding), storage, found
        )
        return pb.CreateCatalogResponse(catalog=catalogs.catalog_message(figures))

    async def GetCatalog(self, request: pb.GetCatalogRequest) -> pb.GetCatalogResponse:
        """Returns a catalog's figures."""
        found: convert.Violations = []
        catalog_items = (await self._services.of(request.catalog, found)).catalog_items
        figures = await catalog_items.stats(found)
        return pb.GetCatalogResponse(catalog=catalogs.catalog_message(figures))

    async def ListCatalogs(self, _request: pb.ListCatalogsRequest) -> pb.ListCatalogsResponse:
        """Returns the figures of all catalogs."""
        figures = await self._services.directory.list()
        return pb.ListCatalogsResponse(catalogs=map(catalogs.catalog_message, figures))

    async def DeleteCatalog(self, request: pb.DeleteCatalogRequest) -> pb.DeleteCatalogResponse:
        """Deletes a catalog."""
        await self._services.directory.delete(request.catalog, allow_missing=request.allow_missing)
        return pb.DeleteCatalogResponse()

    async def EstimateReembedding(
        self, request: pb.EstimateReembeddingRequest
    ) -> pb.EstimateReembeddingResponse:
        """Estimates what re-embedding would take."""
        found: convert.Violations = []
        catalog = await self._services.catalog(request.catalog, found)
        choice = catalogs.choice(request.embedding)
        estimate = await self._services.reembeddings.estimate(catalog, choice, found)
        return catalogs.estimate_message(estimate)

    async def StartReembedding(
        self, request: pb.StartReembeddingRequest
    ) -> pb.StartReembeddingResponse:
        """Starts to re-embed."""
        found: convert.Violations = []
        catalog = await self._services.catalog(request.catalog, found)
        choice = catalogs.choice(request.embedding)
        figures = await self._services.reembeddings.start(catalog, choice, found)
        return pb.StartReembeddingResponse(reembedding=catalogs.reembedding_message(figures))

    async def GetReembedding(self, request: pb.GetReembeddingRequest) -> pb.GetReembeddingResponse:
        """Tells how far re-embedding is."""
        found: convert.Violations = []
        catalog = await self._services.catalog(request.catalog, found)
        figures = await self._services.reembeddings.get(catalog, found)
        return pb.GetReembeddingResponse(reembedding=catalogs.reembedding_message(figures))

    async def CancelReembedding(
        self, request: pb.CancelReembeddingRequest
    ) -> pb.CancelReembeddingResponse:
        """Ends re-embedding, and has the former vectors serve."""
        found: convert.Violations = []
        catalog = await self._services.catalog(request.catalog, found)
        await self._services.reembeddings.cancel(catalog, found)
        return pb.CancelReembeddingResponse()

    async def FinishReembedding(
        self, request: pb.FinishReembeddingRequest
    ) -> pb.FinishReembeddingResponse:
        """Drops the former vectors."""
        found: convert.Violations = []
        catalog = await self._services.catalog(request.catalog, found)
        await self._services.reembeddings.finish(catalog, found)
        return pb.FinishReembeddingResponse()
