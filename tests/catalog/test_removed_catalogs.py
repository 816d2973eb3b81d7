"""Calls that began before another worker deleted their catalog, or ended a re-embedding of it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import SPACE
from support.open_catalogs import WordCatalogs, word_catalogs
from support.stores import remove_dropped

from service import errors
from service.catalog.handle import CatalogHandle
from service.domain.analyses import (
    ClassificationQuery,
    ClustersQuery,
    DuplicatesQuery,
    OutliersQuery,
    PassagesQuery,
)
from service.domain.filters import Condition, Exists, Filter
from service.domain.interactions import Interaction, InteractionKey
from service.domain.items import Item, ItemState
from service.domain.recommendations import ItemSource, Query, TextSource, UserSource
from service.domain.spaces import Model
from service.domain.users import Preference, User
from service.domain.writes import (
    ItemField,
    ItemsDeletion,
    ItemUpdate,
    ItemUpsert,
    UserField,
    UserUpdate,
    UserUpsert,
)

OTHER = Model(replace(SPACE, model="other words"))
USER = User("u", (Preference("tea"), Preference("new words")))
NOT_FOUND = (errors.CatalogNotFound, errors.ItemNotFound, errors.UserNotFound)
LIKE = Interaction(InteractionKey("u", 1, "a", "LIKE"))
HAS_COLOR = Filter((Condition("color", Exists(True)),))

Call = Callable[[CatalogHandle], Awaitable[object]]


async def import_item(catalog: CatalogHandle) -> object:
    items = [Item("a", "other tea")]
    prepared = await catalog.items.prepare_import(items, require_indexed=False)
    return await catalog.items.store_import(prepared)


async def import_user(catalog: CatalogHandle) -> object:
    return await catalog.users.store_import(await catalog.users.prepare_import([USER]))


async def find_duplicates(catalog: CatalogHandle) -> object:
    return [page async for page in catalog.duplicates.find(DuplicatesQuery())]


WRITES: dict[str, Call] = {
    "upsert item": lambda catalog: catalog.items.upsert(ItemUpsert(Item("a", "black tea"))),
    "update text": lambda catalog: catalog.items.update(
        ItemUpdate(Item("a", "white tea"), frozenset({ItemField.TEXT}))
    ),
    "update attributes": lambda catalog: catalog.items.update(
        ItemUpdate(Item("a", ""), attributes={"color": "red"})
    ),
    "import items": import_item,
    "upsert user": lambda catalog: catalog.users.upsert(UserUpsert(USER)),
    "update user": lambda catalog: catalog.users.update(
        UserUpdate(USER, frozenset({UserField.PREFERENCES}))
    ),
    "import users": import_user,
    "record interactions": lambda catalog: catalog.interactions.record([LIKE]),
}
DELETIONS: dict[str, Call] = {
    "delete item": lambda catalog: catalog.items.delete("a", allow_missing=False),
    "delete items": lambda catalog: catalog.items.delete_many(ItemsDeletion(("a",))),
    "delete by filter": lambda catalog: catalog.items.delete_many(ItemsDeletion(filter=HAS_COLOR)),
    "delete user": lambda catalog: catalog.users.delete("u", allow_missing=False),
    "delete interactions": lambda catalog: catalog.interactions.delete_of_user("u"),
}
READS: dict[str, Call] = {
    "get item": lambda catalog: catalog.items.get("a"),
    "list items": lambda catalog: catalog.items.list_page("", 10, None),
    "list matching items": lambda catalog: catalog.items.list_page("", 10, HAS_COLOR),
    "get user": lambda catalog: catalog.users.get("u"),
    "list users": lambda catalog: catalog.users.list_page("", 10),
    "list interactions": lambda catalog: catalog.interactions.list_page("", None, 10),
    "list interactions of user": lambda catalog: catalog.interactions.list_page("u", None, 10),
    "stats": lambda catalog: catalog.stats.read(),
    "similar to item": lambda catalog: catalog.recommender.recommend(Query(ItemSource("a"), 5)),
    "similar to text": lambda catalog: catalog.recommender.recommend(Query(TextSource("tea"), 5)),
    "similar to user": lambda catalog: catalog.recommender.recommend(Query(UserSource("u"), 5)),
    "duplicates": find_duplicates,
    "outliers": lambda catalog: catalog.outliers.find(OutliersQuery()),
    "clusters": lambda catalog: catalog.clusters.find(ClustersQuery(1)),
    "classify": lambda catalog: catalog.classifier.classify(ClassificationQuery("tea", "color")),
    "passages": lambda catalog: catalog.passages.search(PassagesQuery("tea")),
}
CALLS = WRITES | DELETIONS | READS


async def fill_shop(factory: WordCatalogs) -> None:
    """Store two items and a user in the catalog `shop`."""
    async with factory.catalogs.use("shop") as catalog:
        for item_id in ("a", "b"):
            item = Item(item_id, f"green tea {item_id}", {"color": "green"})
            await catalog.items.upsert(ItemUpsert(item))
        await catalog.users.upsert(UserUpsert(User("u", (Preference("tea"),))))


async def switch_to_other_model(factory: WordCatalogs) -> None:
    """Re-embed the catalog `shop` as another worker does."""
    generations = factory.stores.generations
    record = (await generations.list_catalogs())["shop"]
    await generations.start_next(record, OTHER)
    next_record = (await generations.list_catalogs())["shop"].next
    assert next_record is not None
    await generations.start_indexing(next_record.generation)
    assert await generations.switch(record.serving.generation, next_record.generation)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_in_a_deleted_catalog_ends_with_an_error_of_ours(
    tmp_path: Path, name: str
) -> None:
    """After another worker removed every row of the catalog, no call ends as a bug."""
    async with word_catalogs(tmp_path) as factory:
        await fill_shop(factory)
        async with factory.catalogs.use("shop") as catalog:
            await factory.stores.generations.delete_catalog("shop")
            await remove_dropped(factory.stores)
            if name in WRITES:
                with pytest.raises(NOT_FOUND):
                    await CALLS[name](catalog)
            else:
                with suppress(errors.AkinError):
                    await CALLS[name](catalog)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_outlasts_the_end_of_a_re_embedding(tmp_path: Path, name: str) -> None:
    """A call that began before a switch succeeds after another worker committed it."""
    async with word_catalogs(tmp_path) as factory:
        await fill_shop(factory)
        async with factory.catalogs.use("shop") as catalog:
            await switch_to_other_model(factory)
            await factory.stores.generations.commit(catalog.record)
            await remove_dropped(factory.stores)
            await CALLS[name](catalog)
        await factory.catalogs.update()
        if name in {"upsert item", "update text", "import items"}:
            async with factory.catalogs.use("shop") as catalog:
                assert ItemState.PENDING is (await catalog.items.get("a")).state
