"""The use cases that make, list and delete catalogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from service import errors
from service.catalog.open_catalogs import Catalogs
from service.domain.generations import DEFAULT_CATALOG
from service.domain.spaces import ModelChoice, VectorStorage
from service.domain.stats import CatalogStats
from service.domain.validation import catalog_violations, model_violations
from service.domain.violations import Violation
from service.embedding.providers import ProbedModel
from service.storage import Registry


class Directory:
    """All catalogs of a server.

    Args:
        registry: where they are.
        catalogs: which are open.
        ask: finds the model for a choice.
    """

    def __init__(
        self,
        registry: Registry,
        catalogs: Catalogs,
        ask: Callable[[ModelChoice], Awaitable[ProbedModel]],
    ) -> None:
        self._registry = registry
        self._catalogs = catalogs
        self._ask = ask

    async def create(
        self,
        name: str,
        choice: ModelChoice,
        storage: VectorStorage,
        found: Sequence[Violation] = (),
    ) -> CatalogStats:
        """Makes a catalog.

        Raises:
            InvalidRequest: the name or the choice breaks the contract.
            CatalogExists: there is one of that name.
            TooManyCatalogs: there are as many as there may be.
            EmbeddingRejected, EmbeddingUnavailable: the model cannot be had.
        """
        errors.raise_if_invalid((*catalog_violations(name), *model_violations(choice), *found))
        if await self._catalogs.named(name) is not None:
            raise errors.CatalogExists("there is a catalog of that name")
        asked = await self._ask(choice)
        await self._registry.create(name, asked.model, storage)
        await self._catalogs.update()
        made = await self._catalogs.named(name)
        if made is None:
            raise errors.CatalogNotFound("the catalog was deleted at once")
        return await made.services.catalog_items.stats()

    async def list(self) -> list[CatalogStats]:
        """The stats of all catalogs, by name."""
        await self._catalogs.update()
        return [await each.services.catalog_items.stats() for each in self._catalogs]

    async def delete(
        self, name: str, *, allow_missing: bool, found: Sequence[Violation] = ()
    ) -> None:
        """Deletes a catalog with all that is in it.

        Raises:
            InvalidRequest: it is the default one, or no name at all.
            CatalogNotFound: there is none, and `allow_missing` is not set.
        """
        violations = [*catalog_violations(name), *found]
        if name == DEFAULT_CATALOG:
            violations.append(Violation("catalog", f"must not be {DEFAULT_CATALOG}"))
        errors.raise_if_invalid(violations)
        if not await self._registry.delete(name) and not allow_missing:
            raise errors.CatalogNotFound("there is no such catalog")
        await self._catalogs.update()
