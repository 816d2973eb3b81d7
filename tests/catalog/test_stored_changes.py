"""Changes of catalogs that are stored, but whose result cannot be read."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from akin.v1.catalog_service_pb2 import CreateCatalogRequest
from support.embedders import SPACE
from support.open_catalogs import MODEL, WordCatalogs, word_catalogs
from support.reembeddings import reembeddings

from service import errors
from service.api.catalog_servicer import CatalogServicer
from service.catalog.admin import CatalogAdmin
from service.catalog.handle import CatalogHandle
from service.catalog.reindexing import Reindexing
from service.catalog.stored_changes import reply_after_change
from service.domain.spaces import Model, ModelChoice
from service.domain.stats import CatalogStats
from service.embedding.providers import ProbedModel

FAILURES = [errors.StoreUnavailable("away"), errors.NotReady("opening")]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_after_a_change_says_that_it_was_stored(failure: errors.AkinError) -> None:
    """A caller who repeats the call, or reads later, knows what to expect."""
    failure.retry_after_seconds = 2.0
    with pytest.raises(errors.StoreUnavailable, match="was stored") as caught, reply_after_change():
        raise failure
    assert caught.value.retry_after_seconds == 2.0


def test_other_errors_stay_as_they_are() -> None:
    """A catalog that another caller has deleted since is reported as missing."""
    with pytest.raises(errors.CatalogNotFound), reply_after_change():
        raise errors.CatalogNotFound("deleted since")


class UnreadableCatalogs:
    """Catalogs of a database that cannot be read."""

    @asynccontextmanager
    async def use(
        self, name: str, min_sequence: int = 0, sequence_field: str = "min_sequence"
    ) -> AsyncIterator[CatalogHandle]:
        """Fail."""
        raise errors.StoreUnavailable("away")
        yield

    async def read_stats(self, min_sequence: int = 0) -> list[CatalogStats]:
        """Fail."""
        raise errors.StoreUnavailable("away")


async def find_model(_choice: ModelChoice) -> ProbedModel:
    return ProbedModel(Model(replace(SPACE, model="other words")), 1.0)


def make_servicer(factory: WordCatalogs, stack: AsyncExitStack) -> CatalogServicer:
    """Return the service over catalogs that can be changed, but not read."""
    stores = factory.stores
    admin = CatalogAdmin(
        stores.generations, stores.catalog_settings, factory.catalogs.show_change, find_model
    )
    reindexing = Reindexing(stores.generations, factory.catalogs.update_soon, can_share=False)
    return CatalogServicer(
        UnreadableCatalogs(), admin, reembeddings(factory, stack, MODEL), reindexing
    )


async def test_a_new_catalog_that_cannot_be_read_is_there(tmp_path: Path) -> None:
    """The error does not deny that the catalog was created."""
    async with word_catalogs(tmp_path) as factory, AsyncExitStack() as stack:
        with pytest.raises(errors.StoreUnavailable, match="was stored"):
            await make_servicer(factory, stack).CreateCatalog(CreateCatalogRequest(catalog="new"))
        assert "new" in await factory.stores.generations.list_catalogs()
