"""The blocking client's calls for catalogs and the change of their models."""

from __future__ import annotations

from typing import Unpack

from akin import _requests
from akin._connection import Connection
from akin._requests import ModelOptions
from akin.v1 import catalog_service_pb2 as pb


class CatalogCalls(Connection):
    """Makes, lists, deletes and re-embeds catalogs.

    A `catalog` that is left out is the client's own. What to embed with is told by the keywords of
    `ModelOptions`: `provider`, `model`, `dimensions`, `template` and `query_template`.
    """

    def create_catalog(
        self,
        catalog: str,
        *,
        vector_storage: pb.VectorStorage.ValueType = pb.VECTOR_STORAGE_UNSPECIFIED,
        **embedding: Unpack[ModelOptions],
    ) -> pb.Catalog:
        """Makes a catalog.

        Args:
            catalog: its name, 1 to 63 characters of `[a-z0-9_-]`.
            vector_storage: how to keep its vectors in memory; by default as the server is set.
            embedding: what to embed its texts with.
        """
        request = pb.CreateCatalogRequest(
            catalog=catalog,
            embedding=_requests.embedding_model(**embedding),
            vector_storage=vector_storage,
        )
        return (self._call(self._catalogs.CreateCatalog, request)).catalog

    def get_catalog(self, catalog: str | None = None) -> pb.Catalog:
        """A catalog's figures: items, those that wait and why, what embedding took."""
        request = pb.GetCatalogRequest(catalog=self._named(catalog))
        return (self._call(self._catalogs.GetCatalog, request)).catalog

    def list_catalogs(self) -> list[pb.Catalog]:
        """The figures of all catalogs, by name."""
        request = pb.ListCatalogsRequest()
        return list((self._call(self._catalogs.ListCatalogs, request)).catalogs)

    def delete_catalog(self, catalog: str, *, allow_missing: bool = False) -> None:
        """Deletes a catalog with all its items and users; not the server's default one."""
        request = pb.DeleteCatalogRequest(catalog=catalog, allow_missing=allow_missing)
        self._call(self._catalogs.DeleteCatalog, request)

    def estimate_reembedding(
        self, catalog: str | None = None, **embedding: Unpack[ModelOptions]
    ) -> pb.EstimateReembeddingResponse:
        """What re-embedding a catalog would take; costs one short request to the provider.

        Args:
            catalog: which one.
            embedding: what to embed its texts with.
        """
        request = pb.EstimateReembeddingRequest(
            catalog=self._named(catalog), embedding=_requests.embedding_model(**embedding)
        )
        return self._call(self._catalogs.EstimateReembedding, request)

    def start_reembedding(
        self, catalog: str | None = None, **embedding: Unpack[ModelOptions]
    ) -> pb.Reembedding:
        """Starts to re-embed a catalog, which goes on serving meanwhile, and tells how it stands.

        Args:
            catalog: which one.
            embedding: what to embed its texts with.
        """
        request = pb.StartReembeddingRequest(
            catalog=self._named(catalog), embedding=_requests.embedding_model(**embedding)
        )
        return (self._call(self._catalogs.StartReembedding, request)).reembedding

    def get_reembedding(self, catalog: str | None = None) -> pb.Reembedding:
        """How far re-embedding a catalog has come."""
        request = pb.GetReembeddingRequest(catalog=self._named(catalog))
        return (self._call(self._catalogs.GetReembedding, request)).reembedding

    def cancel_reembedding(self, catalog: str | None = None) -> None:
        """Ends re-embedding a catalog; after the switch its former vectors serve again at once."""
        request = pb.CancelReembeddingRequest(catalog=self._named(catalog))
        self._call(self._catalogs.CancelReembedding, request)

    def finish_reembedding(self, catalog: str | None = None) -> None:
        """Drops a catalog's former vectors, after the switch."""
        request = pb.FinishReembeddingRequest(catalog=self._named(catalog))
        self._call(self._catalogs.FinishReembedding, request)
