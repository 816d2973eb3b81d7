"""Power cuts while a snapshot of an index is written, in a catalog that is large enough."""

from __future__ import annotations

import random
from collections.abc import Iterator

from akin.v1 import recommender_service_pb2 as pb
from akin.v1.item_pb2 import Item
from support.texts import COUNT, distinct

from faults.contents import read_item
from faults.journal import read_journal
from faults.model import Attempt, Group, Key
from faults.power_cuts import Cut, Recording, make_cuts
from faults.session import Session
from faults.writer import CALL_SECONDS, Stubs

# Servers write a snapshot after 10,000 changes, once nothing was written for 3 seconds.
ITEMS = 11_000
MESSAGE_ITEMS = 1_000
STATES = 200

INDEX = "/index/"


def write_snapshot(session: Session, rng: random.Random) -> bool:
    """Write many items, wait for a snapshot, have writers write, and kill the server."""
    saved = len(session.server.list_events("snapshot_saved"))
    _import_items(session, rng)
    session.server.wait_for("snapshot_saved", saved + 1)
    session.run_round(STATES, session.server.kill)
    return False


def choose_cuts(recording: Recording, count: int, rng: random.Random) -> list[Cut]:
    """Return power cuts between the first and the last operation on a file of a snapshot."""
    records = list(read_journal(recording.journal))
    numbers = [
        number for number, record in enumerate(records) if INDEX.encode() in record.payload[:500]
    ]
    ends = [record.end for record in records[numbers[0] : numbers[-1] + 1]]
    return make_cuts(rng.choices(ends, k=count), rng)


def _import_items(session: Session, rng: random.Random) -> None:
    recorder = session.recorder
    groups: list[Group] = []

    def send() -> Iterator[pb.ImportItemsRequest]:
        for start in range(0, ITEMS, MESSAGE_ITEMS):
            items = [_make_item(number, rng) for number in range(start, start + MESSAGE_ITEMS)]
            attempts = [
                Attempt(Key("default", "item", item.item_id), read_item(item)) for item in items
            ]
            groups.append(recorder.begin("ImportItems", attempts))
            yield pb.ImportItemsRequest(items=items)

    with Stubs(session.server.address) as stubs:
        responses = stubs.recommender.ImportItems(send(), timeout=CALL_SECONDS)
        for number, response in enumerate(responses):
            recorder.store(groups[number], [result.sequence for result in response.results])


def _make_item(number: int, rng: random.Random) -> Item:
    item = Item(item_id=f"bulk-{number}", text=f"{distinct(rng.randrange(COUNT))} in year {number}")
    item.attributes.update({"batch": "bulk", "write": str(number)})
    return item
