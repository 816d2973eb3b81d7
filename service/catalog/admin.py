"""Creates, changes and deletes catalogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from service import errors
from service.catalog.reindexing import check_index_kind
from service.domain import limits
from service.domain.catalog_settings import CatalogSettings, SettingsField
from service.domain.index_kinds import IndexKind
from service.domain.spaces import ModelChoice, VectorStorage
from service.domain.text_formats import TextFormat
from service.embedding.providers import ProbedModel
from service.storage.catalog_settings import CatalogSettingsStore
from service.storage.generations import GenerationStore


class CatalogAdmin:
    """The catalogs of a server.

    Args:
        store: where catalogs are.
        settings: the settings of catalogs.
        update: opens, changes or closes a catalog as the store says, by its name.
        find_model: finds the model for a choice with one request to its provider.
        max_catalogs: the number of catalogs from which on no further one is created.
        index: the index of new catalogs for which none is chosen.
        can_share: the server has an engine for shared indexes.
    """

    def __init__(  # noqa: PLR0913  (each is a part or a limit of the server)
        self,
        store: GenerationStore,
        settings: CatalogSettingsStore,
        update: Callable[[str], Awaitable[None]],
        find_model: Callable[[ModelChoice], Awaitable[ProbedModel]],
        max_catalogs: int = limits.CATALOGS_DEFAULT,
        index: IndexKind = IndexKind.MEMORY,
        *,
        can_share: bool = False,
    ) -> None:
        self._index = index
        self._can_share = can_share
        self._store = store
        self._settings = settings
        self._update = update
        self._find_model = find_model
        self._max_catalogs = max_catalogs

    async def create(
        self,
        name: str,
        choice: ModelChoice,
        storage: VectorStorage,
        text_format: TextFormat,
        settings: CatalogSettings,
        index: IndexKind | None = None,
    ) -> None:
        """Create a catalog; without an `index`, with that of the server's settings.

        Raises:
            CatalogExists: a catalog with the name exists.
            TooManyCatalogs: the server has as many catalogs as it may.
            SharedIndexOff: the server has no engine for the index.
            InvalidRequest, EmbeddingRejected, EmbeddingUnavailable: the model cannot be used.
        """
        index = index or self._index
        check_index_kind(index, can_share=self._can_share)
        if name in await self._store.list_catalogs():
            raise errors.CatalogExists(f"catalog {name!r} exists already")
        model = await self._find_model(choice)
        await self._store.create_catalog(
            name,
            model.model,
            storage,
            text_format,
            settings,
            max_catalogs=self._max_catalogs,
            index=index,
        )
        await self._update(name)

    async def update_settings(
        self, name: str, settings: CatalogSettings, fields: Collection[SettingsField]
    ) -> None:
        """Change some settings of a catalog; the others stay as they are.

        Raises:
            CatalogNotFound: the catalog does not exist.
        """
        await self._settings.update(name, settings, fields)
        await self._update(name)

    async def delete(self, name: str, *, allow_missing: bool) -> None:
        """Delete a catalog with everything in it.

        Raises:
            CatalogNotFound: the catalog does not exist, and `allow_missing` is false.
        """
        if not await self._store.delete_catalog(name) and not allow_missing:
            raise errors.CatalogNotFound(f"catalog {name!r} does not exist")
        await self._update(name)
