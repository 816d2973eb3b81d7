"""Reads everything that a server or a data folder has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from akin._errors import decode
from akin.v1 import catalog_service_pb2 as catalog_pb
from akin.v1 import interaction_service_pb2 as interaction_pb
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.item_pb2 import ITEM_STATE_PENDING

from faults.contents import (
    make_interaction_key,
    read_interaction,
    read_item,
    read_user,
    write_interaction,
    write_interaction_key,
    write_item,
    write_user,
)
from faults.model import CatalogContent, Key, Observation, Version, Violation
from faults.reads import EQUAL_SCORE, RECOMMENDATIONS
from faults.writer import CALL_SECONDS, Stubs
from service.domain.generations import CatalogRecord, Generation
from service.domain.items import ItemState
from service.storage.opening import open_database
from service.storage.stores import Stores

PAGE_SIZE = 1_000
PAGE_BYTES = 64 * 1024 * 1024

# Items of a large catalog whose texts must find them.
SAMPLE_ITEMS = 10


def observe_server(stubs: Stubs, min_sequence: int) -> Observation:
    """Return what a server has, as of a sequence number at least.

    Args:
        stubs: a connection to it.
        min_sequence: the last acknowledged write.
    """
    observed = Observation(earliest_us=_read_clock())
    request = catalog_pb.ListCatalogsRequest(min_sequence=min_sequence)
    for catalog in stubs.catalogs.ListCatalogs(request, timeout=CALL_SECONDS).catalogs:
        observed.catalogs[catalog.name] = _read_catalog(stubs, catalog, min_sequence)
        observed.last_sequence = max(observed.last_sequence, catalog.sequence)
        _add_items(observed, stubs, catalog.name, min_sequence)
        _add_users(observed, stubs, catalog.name, min_sequence)
        _add_interactions(observed, stubs, catalog.name, min_sequence)
    observed.latest_us = _read_clock()
    return observed


def check_index(stubs: Stubs, observed: Observation, min_sequence: int) -> list[Violation]:
    """Compare the index of each catalog with the items that are there.

    A search for the text of one item returns all items, each once, and no other ones. In a catalog
    that is too large for that, the texts of some items find them.
    """
    violations: list[Violation] = []
    for name in observed.catalogs:
        versions = {
            key: version
            for key, version in observed.versions.items()
            if (key.catalog, key.kind) == (name, "item") and key not in observed.pending
        }
        if len(versions) > RECOMMENDATIONS:
            violations += _check_sample(stubs, name, versions, min_sequence)
        elif not all(map(_expires, versions.values())):
            violations += _check_catalog_index(stubs, name, versions, observed, min_sequence)
    return violations


async def observe_folder(folder: Path) -> Observation:
    """Return what a data folder has that no server uses."""
    observed = Observation(earliest_us=_read_clock())
    stores = Stores.over(open_database(folder, time.time_ns))
    try:
        observed.last_sequence = stores.database.commits.last_sequence
        for name, catalog in (await stores.generations.list_catalogs()).items():
            observed.catalogs[name] = _describe(catalog)
            await _add_stored_items(observed, stores, catalog.serving.generation, name)
            await _add_stored_users(observed, stores, catalog.serving.generation, name)
            await _add_stored_interactions(observed, stores, catalog.serving.generation, name)
    finally:
        await stores.database.close()
    observed.latest_us = _read_clock()
    return observed


def _read_clock() -> int:
    return time.time_ns() // 1_000


def _read_catalog(stubs: Stubs, catalog: catalog_pb.Catalog, min_sequence: int) -> CatalogContent:
    boost = catalog.settings.new_item_boost
    request = catalog_pb.GetReembeddingRequest(catalog=catalog.name, min_sequence=min_sequence)
    try:
        response = stubs.catalogs.GetReembedding(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        if decode(exc).reason != "REEMBEDDING_NOT_FOUND":
            raise
        return CatalogContent(catalog.space.template, boost=boost)
    reembedding = response.reembedding
    source, target = reembedding.from_space.template, reembedding.to_space.template
    if reembedding.state == catalog_pb.REEMBEDDING_STATE_SERVING:
        return CatalogContent(target, "", source, boost)
    return CatalogContent(source, target, boost=boost)


def _add_items(observed: Observation, stubs: Stubs, name: str, min_sequence: int) -> None:
    request = pb.ListItemsRequest(catalog=name, page_size=PAGE_SIZE, min_sequence=min_sequence)
    for page in _list_pages(stubs.recommender.ListItems, request):
        for item in page.items:
            key = Key(name, "item", item.item_id)
            observed.add(key, Version(read_item(item), item.sequence))
            if item.state == ITEM_STATE_PENDING:
                observed.pending.add(key)


def _add_users(observed: Observation, stubs: Stubs, name: str, min_sequence: int) -> None:
    request = pb.ListUsersRequest(catalog=name, page_size=PAGE_SIZE, min_sequence=min_sequence)
    for page in _list_pages(stubs.recommender.ListUsers, request):
        for user in page.users:
            observed.add(Key(name, "user", user.user_id), Version(read_user(user), user.sequence))


def _add_interactions(observed: Observation, stubs: Stubs, name: str, min_sequence: int) -> None:
    request = interaction_pb.ListInteractionsRequest(
        catalog=name, page_size=PAGE_SIZE, min_sequence=min_sequence
    )
    count, total = 0, 0
    for page in _list_pages(stubs.interactions.ListInteractions, request):
        for interaction in page.interactions:
            key = make_interaction_key(name, interaction)
            observed.add(key, Version(read_interaction(interaction), 0))
        count += len(page.interactions)
        total = page.total_size
    _check_interaction_count(observed, name, total, count)


def _list_pages(list_page: Callable[..., Any], request: Any) -> Iterator[Any]:
    """Yield the responses to a request for a list, page by page."""
    while True:
        page = list_page(request, timeout=CALL_SECONDS)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _check_interaction_count(
    observed: Observation, name: str, counted: int, listed_count: int
) -> None:
    """Check the stored count of interactions against those that are there."""
    if counted != listed_count:
        problem = f"{counted} interactions are counted, and {listed_count} are there"
        observed.violations.append(Violation("wrong", Key(name, "", ""), problem))


def _check_catalog_index(
    stubs: Stubs,
    name: str,
    versions: dict[Key, Version],
    observed: Observation,
    min_sequence: int,
) -> Iterator[Violation]:
    # An item that expires may be gone since it was listed.
    key = min(key for key, version in versions.items() if not _expires(version))
    request = pb.RecommendSimilarRequest(
        catalog=name,
        text=_read_text(versions[key]),
        limit=RECOMMENDATIONS,
        exact=True,
        min_sequence=min_sequence,
    )
    hits = stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS).recommendations
    scores = {hit.item_id: hit.score for hit in hits}
    if len(scores) < len(hits):
        yield Violation("doubled", key, "recommendations have an item twice")
    if scores.get(key.id, 0.0) < EQUAL_SCORE:
        problem = f"its own text finds it with {scores.get(key.id)}"
        yield Violation("lost", key, problem)
    expected_ids = {other.id for other in versions}
    for item_id in expected_ids - scores.keys():
        if not _expires(versions[Key(name, "item", item_id)]):
            yield Violation("lost", Key(name, "item", item_id), "the index lacks it")
    for item_id in scores.keys() - expected_ids:
        if Key(name, "item", item_id) not in observed.pending:
            yield Violation("doubled", Key(name, "item", item_id), "the index has it")


def _check_sample(
    stubs: Stubs, name: str, versions: dict[Key, Version], min_sequence: int
) -> Iterator[Violation]:
    lasting = sorted(key for key, version in versions.items() if not _expires(version))
    for key in lasting[:: len(lasting) // SAMPLE_ITEMS]:
        text = _read_text(versions[key])
        request = pb.RecommendSimilarRequest(
            catalog=name, text=text, limit=RECOMMENDATIONS, exact=True, min_sequence=min_sequence
        )
        hits = stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS).recommendations
        scores = [hit.score for hit in hits if hit.item_id == key.id]
        if len(scores) != 1 or scores[0] < EQUAL_SCORE:
            yield Violation("lost", key, f"its own text finds it with {scores}")


def _expires(version: Version) -> bool:
    return version.content is not None and version.content.expire_time_us is not None


def _read_text(version: Version) -> str:
    text: str = "" if version.content is None else json.loads(version.content.body)["text"]
    return text


def _describe(catalog: CatalogRecord) -> CatalogContent:
    serving, next_, previous = (
        "" if record is None else record.model.space.template
        for record in (catalog.serving, catalog.next, catalog.previous)
    )
    return CatalogContent(serving, next_, previous, catalog.settings.new_item_boost)


async def _add_stored_items(
    observed: Observation, stores: Stores, generation: Generation, name: str
) -> None:
    after, more = "", True
    while more:
        page = await stores.items.list_page(generation, after, PAGE_SIZE, PAGE_BYTES)
        for stored in page.items:
            item = stored.item
            key = Key(name, "item", item.item_id)
            content = write_item(item.text, item.attributes, item.expire_time_us)
            observed.add(key, Version(content, stored.sequence))
            if stored.state is ItemState.PENDING:
                observed.pending.add(key)
            after = item.item_id
        more = page.more


async def _add_stored_users(
    observed: Observation, stores: Stores, generation: Generation, name: str
) -> None:
    after, more = "", True
    while more:
        page = await stores.users.list_page(generation, after, PAGE_SIZE, PAGE_BYTES)
        for stored in page.users:
            user = stored.user
            content = write_user(
                [(preference.text, preference.weight) for preference in user.preferences],
                [(liked.item_id, liked.weight) for liked in user.liked_items],
            )
            observed.add(Key(name, "user", user.user_id), Version(content, stored.sequence))
            after = user.user_id
        more = page.more


async def _add_stored_interactions(
    observed: Observation, stores: Stores, generation: Generation, name: str
) -> None:
    after, more, count, total = None, True, 0, 0
    while more:
        page = await stores.interactions.list_page(generation, "", after, PAGE_SIZE)
        for interaction in page.interactions:
            key = write_interaction_key(name, *interaction.key)
            observed.add(key, Version(write_interaction(interaction.value), 0))
            after = interaction.key
        more, count, total = page.more, count + len(page.interactions), page.total
    _check_interaction_count(observed, name, total, count)
