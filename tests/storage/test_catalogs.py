from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import (
    all_changes,
    all_items,
    default_catalog,
    delete_item,
    indexed,
    opened,
    remove_dropped,
    rows,
    served_vectors,
    upsert_user,
)

from service import errors
from service.domain.spaces import Model, VectorStorage
from service.domain.text_formats import TextFormat
from service.domain.users import Preference, User
from service.embedding.prompts import hash_text

NEW = Model(replace(SPACE, model="new"))
OTHER = Model(replace(SPACE, model="other"), 16)


async def test_catalogs_are_isolated(tmp_path: Path) -> None:
    """A write to one catalog changes no other, whatever the ids."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        created = await stores.generations.create_catalog("other", OTHER, VectorStorage.FLOAT16)
        other = created.serving.generation
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await upsert_user(stores, generation, User("u"))
        assert [] == await all_items(stores, other)
        assert [] == await all_changes(stores, other)
        assert 0 == await delete_item(stores, other, "a")
        assert None is await stores.users.get(other, "u")
        assert not await stores.users.delete(other, "u")
        assert {} == await stores.vectors.get_many(other, [hash_text("tea")])
        assert (VectorStorage.FLOAT16, True) == (created.vector_storage, created.own_model)
        assert OTHER == (await stores.generations.list_catalogs())["other"].serving.model


async def test_every_generation_of_a_catalog_has_its_text_format(tmp_path: Path) -> None:
    """The format stays over a restart, in previews and in the next generation."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert TextFormat.PLAIN is generation.text_format
        await stores.generations.create_catalog(
            "other", NEW, VectorStorage.UNSPECIFIED, TextFormat.HTML
        )
    async with opened(tmp_path, FakeClock()) as (stores, _):
        record = (await stores.generations.list_catalogs())["other"]
        preview = await stores.generations.preview_next(record, OTHER)
        await stores.generations.start_next(record, OTHER)
        record = (await stores.generations.list_catalogs())["other"]
        assert record.next is not None
        assert {TextFormat.HTML} == {
            generation.text_format
            for generation in (record.serving.generation, preview, record.next.generation)
        }


async def test_beginnings_of_html_texts_have_no_markup(tmp_path: Path) -> None:
    """Analyses get the first characters that readers see; the stored text has the markup."""
    html = "<p class='wide'>strong</p><p>tea</p>"
    async with opened(tmp_path, FakeClock()) as (stores, _):
        created = await stores.generations.create_catalog(
            "other", Model(SPACE), VectorStorage.UNSPECIFIED, TextFormat.HTML
        )
        generation = created.serving.generation
        await stores.items.upsert_many(generation, [indexed("a", html)])
        assert {"a": "strong\n\nt"} == await stores.items.text_beginnings(generation, ["a"], 9)
        assert "strong" == (await stores.items.excerpts(generation, ["a"], 6))["a"].text
        assert ["stron"] == await stores.items.latest_text_beginnings(generation, 10, 5)
        (stored,) = await all_items(stores, generation)
        assert html == stored.item.text


async def test_the_latest_texts_are_of_the_items_that_changed_last(tmp_path: Path) -> None:
    """A deleted item counts as a change and has no text."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert 0 == await stores.items.last_change(generation)
        items = [indexed(name, f"tea {name}") for name in "abcd"]
        await stores.items.upsert_many(generation, items)
        assert 4 == await stores.items.last_change(generation)
        await stores.items.upsert_many(generation, [indexed("a", "rum")])
        await delete_item(stores, generation, "d")
        assert 6 == await stores.items.last_change(generation)
        assert ["rum", "tea c"] == await stores.items.latest_text_beginnings(generation, 3, 100)


async def test_a_deleted_catalog_takes_no_writes(tmp_path: Path) -> None:
    """A write to it fails, and a new catalog of the same name starts empty."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        gone = (
            await stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        ).serving.generation
        await stores.items.upsert_many(gone, [indexed("a", "tea")])
        assert await stores.generations.delete_catalog("other")
        assert not await stores.generations.delete_catalog("other")
        with pytest.raises(errors.CatalogNotFound):
            await stores.items.upsert_many(gone, [indexed("b", "rum")])
        with pytest.raises(errors.CatalogNotFound):
            await upsert_user(stores, gone, User("u"))
        again = await stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        assert [] == await all_items(stores, again.serving.generation)
        await remove_dropped(stores)
        assert again == (await stores.generations.list_catalogs())["other"]


async def test_a_deleted_catalog_cannot_be_re_embedded(tmp_path: Path) -> None:
    """No step of its re-embedding changes a new catalog of the same name."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        generations = stores.generations
        gone = await generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        await generations.delete_catalog("other")
        await generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED)
        for work in (generations.cancel, generations.rollback, generations.commit):
            with pytest.raises(errors.CatalogNotFound):
                await work(gone)
        with pytest.raises(errors.CatalogNotFound):
            await generations.start_next(gone, OTHER)


async def test_vectors_that_another_catalog_uses_stay(tmp_path: Path) -> None:
    """A deleted catalog leaves the vectors that another catalog in its space uses."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        other = await stores.generations.create_catalog(
            "other", Model(SPACE), VectorStorage.UNSPECIFIED
        )
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await stores.items.upsert_many(
            other.serving.generation, [indexed("a", "tea"), indexed("b", "rum")]
        )
        await upsert_user(stores, other.serving.generation, User("u", (Preference("tea"),)))
        assert await stores.generations.delete_catalog("other")
        await remove_dropped(stores)
        assert (unit_vector("tea").tobytes(),) == (await served_vectors(stores, generation))["a"]
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM items")
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM users")
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM catalogs")


async def test_the_number_of_catalogs_is_limited(tmp_path: Path) -> None:
    """A name can be used once, and beyond the limit no catalog is created."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        with pytest.raises(errors.CatalogExists):
            await stores.generations.create_catalog("default", NEW, VectorStorage.UNSPECIFIED)
        create = partial(stores.generations.create_catalog, model=NEW, max_catalogs=3)
        for name in ("first", "second"):
            await create(name, storage=VectorStorage.UNSPECIFIED)
        with pytest.raises(errors.TooManyCatalogs):
            await create("more", storage=VectorStorage.UNSPECIFIED)
        await stores.generations.delete_catalog("first")
        await create("more", storage=VectorStorage.UNSPECIFIED)


async def test_every_change_of_catalogs_moves_the_version(tmp_path: Path) -> None:
    """Creating, deleting and re-embedding move the version, and the sequence that others follow."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        seen = [(await stores.generations.get_version(), stores.database.commits.last_sequence)]
        for work in (
            stores.generations.create_catalog("other", NEW, VectorStorage.UNSPECIFIED),
            stores.generations.delete_catalog("other"),
            stores.generations.start_next(await default_catalog(stores), NEW),
            stores.generations.cancel(await default_catalog(stores)),
        ):
            await work
            seen.append(
                (await stores.generations.get_version(), stores.database.commits.last_sequence)
            )
        assert len(seen) == len({version for version, _ in seen})
        assert len(seen) == len({sequence for _, sequence in seen})
