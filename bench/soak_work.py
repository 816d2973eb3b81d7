"""The mixed work of a soak: cycles that all do the same to the same items, users and catalogs.

All texts come again and again, so that nothing but a leak can grow once all of them were seen.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import akin
from akin import filters
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf import json_format

SAMPLE = Path(__file__).resolve().parents[1] / "service/cli/sample/books.jsonl"
TOPICS = ("sea", "space", "garden", "mail", "war", "law", "food", "math", "music", "film")

# Items with this distance have the same topic; those of the first topic are deleted together.
TOPICS_APART = len(TOPICS)

ITEMS = 900
USERS = 200
# Each item has texts of this number of versions, and a cycle writes one part of the items.
VERSIONS, PARTS = 2, 3
MOVING_ITEMS = 300
NEW_CATALOG_ITEMS = 50

UPDATES = 60
DELETIONS = 40
USER_WRITES = 60
RECOMMENDATIONS = 150
NEW_CATALOGS = 3

# Writes to each catalog before the first cycle, so that its index is on disk from the start: the
# server saves an index after 10,000 writes.
WRITES_BEFORE = 11_000

CONCURRENCY = 4

# Bursts of work before the first cycle, and catalogs and analyses in each.
BURSTS = 6
POLL_SECONDS = 0.05

Step = Callable[[], Awaitable[object]]


def make_items(count: int, version: int) -> list[akin.Item]:
    """Return items whose texts join two descriptions of books."""
    texts = [json.loads(line)["text"] for line in SAMPLE.read_text().splitlines()]
    rng = random.Random(version)
    return [
        akin.item(
            f"item-{number}",
            f"{rng.choice(texts)} {rng.choice(texts)}",
            {"topic": TOPICS[number % len(TOPICS)], "price": float(number % 50)},
        )
        for number in range(count)
    ]


class Work:
    """Prepares the catalogs of a server, and runs cycles of work.

    Attributes:
        calls: the steps that were done, by name.
        failures: the steps that failed, by name and error.
    """

    def __init__(self, address: str, data: Path) -> None:
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._address = address
        self._data = data
        self._versions = [make_items(ITEMS, version) for version in range(VERSIONS)]
        self._queries = [item.text[:200] for item in self._versions[0][:USERS]]

    async def run_cycle(self, number: int, seconds: float) -> None:
        """Do all steps of a cycle, spread over most of its seconds."""
        async with (
            akin.AsyncClient(self._address, catalog="main", timeout_seconds=60) as main,
            akin.AsyncClient(self._address, catalog="moving", timeout_seconds=60) as moving,
        ):
            if number == 0:
                await self._prepare(main, moving)
            steps = list(self._make_steps(number, main))
            random.Random(1).shuffle(steps)
            steps.insert(0, ("reembedding", partial(self._reembed, moving)))
            pause = 0.8 * seconds / len(steps)
            clock = asyncio.get_running_loop().time
            started = clock()
            slots = iter(enumerate(steps))

            async def work() -> None:
                for position, (name, step) in slots:
                    await asyncio.sleep(started + position * pause - clock())
                    await self._run(name, step)

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    async def _run(self, name: str, step: Step) -> None:
        self.calls[name] += 1
        try:
            await step()
        except (akin.AkinError, subprocess.CalledProcessError) as exc:
            self.failures[f"{name}: {exc}"] += 1

    async def _prepare(self, main: akin.AsyncClient, moving: akin.AsyncClient) -> None:
        await main.create_catalog("main", provider="local")
        await main.create_catalog("moving", model="scripted")
        for client, count in ((main, ITEMS), (moving, MOVING_ITEMS)):
            for number in range(WRITES_BEFORE // count + 1):
                await _import(client, self._versions[number % VERSIONS][:count])
        for number in range(USERS):
            await self._write_user(main, number)
        for _ in range(BURSTS):
            await self._start_threads(main)

    async def _start_threads(self, main: akin.AsyncClient) -> None:
        """Do much at once, because the server starts threads when it needs them, and keeps them."""
        diverse = (
            main.recommend_similar(text=query, limit=100, diversity=0.5, max_similarity=0.9)
            for query in self._queries[: 4 * BURSTS]
        )
        catalogs = (self._create_and_delete_catalog(main, number) for number in range(BURSTS))
        analyses = (main.find_outliers() for _ in range(BURSTS))
        await asyncio.gather(*diverse, *catalogs, *analyses)

    def _make_steps(self, number: int, main: akin.AsyncClient) -> Iterator[tuple[str, Step]]:
        written = self._versions[number % VERSIONS][number % PARTS :: PARTS]
        for item in written:
            yield (
                "upsert",
                partial(
                    main.upsert_item,
                    item.item_id,
                    item.text,
                    json_format.MessageToDict(item.attributes),
                ),
            )
        for position in range(UPDATES):
            yield "update", partial(self._update, main, position, number)
        for position in range(DELETIONS):
            yield "delete", partial(self._delete, main, position)
        for position in range(USER_WRITES):
            yield "user", partial(self._write_user, main, position)
        for position in range(RECOMMENDATIONS):
            yield "recommend", partial(self._recommend, main, position)
        for position in range(NEW_CATALOGS):
            yield "catalog", partial(self._create_and_delete_catalog, main, position)
        yield "batch delete", partial(self._delete_topic, main)
        yield "duplicates", partial(_exhaust_duplicates, main)
        yield "outliers", partial(main.find_outliers)
        yield "clusters", partial(main.cluster_items, cluster_count=8)
        yield "classify", partial(main.classify_text, self._queries[0], "topic")
        yield "passages", partial(main.search_passages, self._queries[1])
        yield "backup", partial(asyncio.to_thread, self._back_up)

    async def _update(self, main: akin.AsyncClient, position: int, number: int) -> None:
        # These items are never deleted.
        item_id = f"item-{ITEMS - 1 - TOPICS_APART * position}"
        price = {"price": float(number % 2)}
        await main.update_item(item_id, attributes=price, update_mask=["attributes.price"])

    async def _delete(self, main: akin.AsyncClient, position: int) -> None:
        item = self._versions[0][TOPICS_APART * position + 1]
        await main.delete_item(item.item_id, allow_missing=True)
        await main.upsert_item(item.item_id, item.text, json_format.MessageToDict(item.attributes))

    async def _delete_topic(self, main: akin.AsyncClient) -> None:
        await main.batch_delete_items(where=filters.equals("topic", TOPICS[0]))
        await _import(main, self._versions[0][:: len(TOPICS)])

    async def _write_user(self, main: akin.AsyncClient, number: int) -> None:
        liked = [f"item-{(7 * number + place) % ITEMS}" for place in range(10)]
        await main.upsert_user(f"user-{number}", [self._queries[number]], liked)

    async def _recommend(self, main: akin.AsyncClient, position: int) -> None:
        match position % 3:
            case 0:
                await main.recommend_similar(text=self._queries[position % len(self._queries)])
            case 1:
                await main.recommend_similar(user_id=f"user-{position % USERS}")
            case 2:
                await main.recommend_similar(item_id=f"item-{TOPICS_APART * position % ITEMS + 2}")

    async def _create_and_delete_catalog(self, main: akin.AsyncClient, position: int) -> None:
        name = f"new-{position}"
        await main.create_catalog(name, provider="local")
        async with akin.AsyncClient(self._address, catalog=name, timeout_seconds=60) as client:
            await _import(client, self._versions[0][:NEW_CATALOG_ITEMS])
            await client.recommend_similar(item_id="item-1")
        await main.delete_catalog(name)

    async def _reembed(self, moving: akin.AsyncClient) -> None:
        """Re-embed to another model and back, and commit both."""
        for model in ("scripted-new", "scripted"):
            await moving.start_reembedding(model=model)
            await _wait_until_serving(moving)
            await moving.commit_reembedding()

    def _back_up(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "backup.db")
            command = [sys.executable, "-m", "service", "backup", str(file)]
            command += ["--data-dir", str(self._data)]
            subprocess.run(command, check=True, capture_output=True)


async def _wait_until_serving(moving: akin.AsyncClient) -> None:
    state = pb.REEMBEDDING_STATE_UNSPECIFIED
    while state != pb.REEMBEDDING_STATE_SERVING:
        await asyncio.sleep(POLL_SECONDS)
        state = (await moving.get_reembedding()).state


async def _import(client: akin.AsyncClient, items: list[akin.Item]) -> None:
    failed = [result async for result in client.import_items(items) if result.code]
    assert not failed, failed[0]


async def _exhaust_duplicates(client: akin.AsyncClient) -> None:
    async for _ in client.find_duplicates():
        pass
