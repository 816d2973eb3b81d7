"""The data that calls work on, which calls also delete and change; it is stored again at times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import akin
from akin.v1 import catalog_service_pb2 as pb

from fuzz.vocabulary import INTERACTION_TYPES, ITEM_IDS, TEXTS, TOPICS, USER_IDS

# The catalogs that hold data, and what they are created with.
CATALOGS: dict[str, akin.options.CreateCatalogOptions] = {
    "default": {},
    "local": {"provider": "local"},
    "html": {"provider": "local", "text_format": pb.TEXT_FORMAT_HTML},
}

ITEMS = [
    akin.item(
        item_id,
        TEXTS[number % len(TEXTS)],
        {
            "price": float(number),
            "topic": TOPICS[number % len(TOPICS)],
            "tags": list(TOPICS[: number % 3]),
            "size": {"width": number % 5},
            "active": number % 2 == 0,
        },
    )
    for number, item_id in enumerate(ITEM_IDS)
]
USERS = [
    akin.user(
        user_id,
        [TEXTS[number], akin.Preference(text=TEXTS[-1 - number], weight=-1.0)],
        ITEM_IDS[number : number + 5],
    )
    for number, user_id in enumerate(USER_IDS)
]


# Interactions of users, and of one who is not stored.
START = datetime(2026, 1, 2, tzinfo=UTC)
INTERACTIONS = [
    akin.interaction(
        (*USER_IDS, "guest")[number % (len(USER_IDS) + 1)],
        ITEM_IDS[number * 7 % len(ITEM_IDS)],
        INTERACTION_TYPES[number % len(INTERACTION_TYPES)],
        START + timedelta(minutes=number),
        interaction_id=f"act-{number}" if number % 2 else "",
    )
    for number in range(100)
]

# The serialized items, users and interactions of each catalog.
Contents = dict[str, list[bytes]]


class Population:
    """The catalogs with their items, users and interactions."""

    def __init__(self, address: str, api_key: str) -> None:
        self._address = address
        self._api_key = api_key

    def _open(self, catalog: str) -> akin.AsyncClient:
        return akin.AsyncClient(
            self._address, catalog=catalog, api_key=self._api_key, timeout_seconds=60
        )

    async def restore(self) -> None:
        """Create what is missing: items and users in their first version, and interactions."""
        for name, options in CATALOGS.items():
            async with self._open(name) as client:
                with suppress(akin.AkinError):  # it exists
                    await client.create_catalog(name, **options)
                with suppress(akin.AkinError):  # another call has just deleted it
                    async for _ in client.import_items(ITEMS):
                        pass
                    async for _ in client.import_users(USERS):
                        pass
                    await client.record_interactions(INTERACTIONS)

    async def read_page_tokens(self) -> list[str]:
        """Return tokens of real pages, for calls to use and to damage."""
        tokens = []
        for name in ("", *CATALOGS):
            async with self._open(name) as client:
                tokens.append((await client.list_items(3)).next_page_token)
                tokens.append((await client.list_users(3)).next_page_token)
                tokens.append((await client.list_interactions(3)).next_page_token)
        return tokens

    async def find_inconsistencies(self) -> list[str]:
        """Return what is wrong with the stored data; empty if nothing is.

        All items, users and interactions are listed, must be as many as the totals say, in order
        and once, and must be valid when they are written again.
        """
        problems = []
        async with self._open("") as client:
            catalogs = await client.list_catalogs()
        for catalog in catalogs:
            async with self._open(catalog.name) as client:
                problems += [p async for p in _check_items(client, catalog)]
                problems += [p async for p in _check_users(client, catalog)]
                problems += [p async for p in _check_interactions(client, catalog)]
        return problems

    async def read_all(self) -> Contents:
        """Return everything that writes stored in all catalogs."""
        async with self._open("") as client:
            names = [catalog.name for catalog in await client.list_catalogs()]
        contents = {}
        for name in names:
            async with self._open(name) as client:
                items, users = await _list_items(client), await _list_users(client)
                interactions = await _list_interactions(client)
            for item in items:
                # The background embeds pending items.
                item.ClearField("state")
                item.ClearField("pending_reason")
                item.ClearField("pending_message")
            contents[name] = [
                entry.SerializeToString(deterministic=True)
                for entry in (*items, *users, *interactions)
            ]
        return contents


async def _check_items(client: akin.AsyncClient, catalog: akin.Catalog) -> AsyncIterator[str]:
    items = await _list_items(client)
    total = (await client.list_items(1)).total_size
    ids = [item.item_id.encode() for item in items]
    if not len(items) == total == catalog.item_count:
        counts = f"{len(items)}, {total} and {catalog.item_count}"
        yield f"{catalog.name}: items listed, total_size and item_count are {counts}"
    if ids != sorted(set(ids)):
        yield f"{catalog.name}: items are out of order or doubled"
    async for result in client.import_items(items, validate_only=True):
        # A time that an item expires at may have come by now.
        if result.code and "expire_time" not in result.message:
            yield f"{catalog.name}: a stored item is invalid: {result.message}"


async def _check_users(client: akin.AsyncClient, catalog: akin.Catalog) -> AsyncIterator[str]:
    users = await _list_users(client)
    total = (await client.list_users(1)).total_size
    ids = [user.user_id.encode() for user in users]
    if not len(users) == total == catalog.user_count:
        counts = f"{len(users)}, {total} and {catalog.user_count}"
        yield f"{catalog.name}: users listed, total_size and user_count are {counts}"
    if ids != sorted(set(ids)):
        yield f"{catalog.name}: users are out of order or doubled"
    async for result in client.import_users(users, validate_only=True):
        if result.code:
            yield f"{catalog.name}: a stored user is invalid: {result.message}"


async def _check_interactions(
    client: akin.AsyncClient, catalog: akin.Catalog
) -> AsyncIterator[str]:
    interactions = await _list_interactions(client)
    total = (await client.list_interactions(1)).total_size
    if not len(interactions) == total == catalog.interaction_count:
        counts = f"{len(interactions)}, {total} and {catalog.interaction_count}"
        yield f"{catalog.name}: interactions listed, total_size and interaction_count are {counts}"
    keys = [
        (
            interaction.user_id.encode(),
            interaction.time.ToMicroseconds(),
            interaction.item_id.encode(),
            interaction.type,
            interaction.interaction_id.encode(),
        )
        for interaction in interactions
    ]
    ids = [interaction.interaction_id for interaction in interactions if interaction.interaction_id]
    if keys != sorted(set(keys)) or len(ids) != len(set(ids)):
        yield f"{catalog.name}: interactions are out of order or doubled"
    async for response in client.import_interactions(interactions, validate_only=True):
        for failure in response.failures:
            # A catalog can forget its own types, and keeps their interactions.
            if "interaction.type" not in failure.message:
                yield f"{catalog.name}: a stored interaction is invalid: {failure.message}"


async def _list_items(client: akin.AsyncClient) -> list[akin.Item]:
    items: list[akin.Item] = []
    token = ""
    while True:
        page = await client.list_items(100, token)
        items += page.items
        token = page.next_page_token
        if not token:
            return items


async def _list_users(client: akin.AsyncClient) -> list[akin.User]:
    users: list[akin.User] = []
    token = ""
    while True:
        page = await client.list_users(100, token)
        users += page.users
        token = page.next_page_token
        if not token:
            return users


async def _list_interactions(client: akin.AsyncClient) -> list[akin.Interaction]:
    interactions: list[akin.Interaction] = []
    token = ""
    while True:
        page = await client.list_interactions(100, token)
        interactions += page.interactions
        token = page.next_page_token
        if not token:
            return interactions
