"""Requests that write items."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from akin.filters import equals
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.filter_pb2 import Filter
from akin.v1.item_pb2 import Item
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from faults.contents import read_item, write_item
from faults.model import Attempt, Key
from faults.writer import Stub, Writer

# Items that every writer writes, to have writers contend for them.
SHARED_ITEMS = 8

# Items that imports write, in addition to those of single requests.
IMPORTED_ITEMS = 120
IMPORT_MESSAGES = 4
IMPORT_MESSAGE_ITEMS = 30

SHORT_LIFE_SECONDS = 4.0
LONG_LIFE_SECONDS = 3_600.0


def make_item(writer: Writer, key: Key, *, is_shared: bool = False) -> Item:
    """Return an item with a content that no other write has."""
    item = Item(item_id=key.id, text=writer.choose_text())
    item.attributes.update(
        {
            "write": str(writer.recorder.numbers.take()),
            "batch": "shared" if is_shared else choose_batch(writer),
            "size": writer.rng.randrange(100) + 0.5,
        }
    )
    if not is_shared and writer.rng.random() < 0.05:
        seconds = writer.rng.choice([SHORT_LIFE_SECONDS, LONG_LIFE_SECONDS])
        item.expire_time.CopyFrom(Timestamp(seconds=int(writer.read_clock() + seconds) + 1))
    return item


def choose_batch(writer: Writer) -> str:
    """Return a value of the attribute `batch` that only this writer gives."""
    return f"{writer.name}-{writer.rng.randrange(5)}"


def read_sequence(response: Any) -> Sequence[int]:
    """Return the sequence number of the item or user in a response."""
    stored = response.item if hasattr(response, "item") else response.user
    return [stored.sequence]


def upsert_item(writer: Writer) -> None:
    """Write an item, sometimes on the condition that it has the acknowledged version."""
    key = writer.choose_key("item")
    version = writer.get_version(key)
    request = pb.UpsertItemRequest(catalog=key.catalog, item=make_item(writer, key))
    attempt = Attempt(key, read_item(request.item))
    luck = writer.rng.random()
    if version is not None and luck < 0.3:
        absent = version.content is None
        request.expected_sequence = 0 if absent else version.sequence
        if luck < 0.1:
            request.expected_sequence += 1
            writer.call(
                writer.stubs.recommender.UpsertItem,
                request,
                [attempt],
                read_sequence,
                "SEQUENCE_MISMATCH",
            )
            return
    writer.call(writer.stubs.recommender.UpsertItem, request, [attempt], read_sequence)


def upsert_shared_item(writer: Writer) -> None:
    """Write an item that other writers write at the same time."""
    key = Key("default", "item", f"shared-{writer.rng.randrange(SHARED_ITEMS)}")
    request = pb.UpsertItemRequest(item=make_item(writer, key, is_shared=True))
    attempt = Attempt(key, read_item(request.item))
    writer.call(writer.stubs.recommender.UpsertItem, request, [attempt], read_sequence)


def delete_shared_item(writer: Writer) -> None:
    """Delete an item that other writers write at the same time."""
    key = Key("default", "item", f"shared-{writer.rng.randrange(SHARED_ITEMS)}")
    request = pb.DeleteItemRequest(item_id=key.id, allow_missing=True)
    writer.call(
        writer.stubs.recommender.DeleteItem,
        request,
        [Attempt(key, None)],
        lambda response: [response.sequence],
    )


def update_item(writer: Writer) -> None:
    """Change the text or single attributes of an item."""
    key = writer.choose_present_key("item")
    version = writer.get_version(key)
    if version is None:
        return
    changed = make_item(writer, key)
    paths = ["attributes.write", "attributes.size"] + ["text"] * writer.rng.randrange(2)
    request = pb.UpdateItemRequest(
        catalog=key.catalog, item=changed, update_mask=FieldMask(paths=paths)
    )
    stub = writer.stubs.recommender.UpdateItem
    if version.content is None:
        writer.call(stub, request, [Attempt(key, None)], lambda _: [0], "ITEM_NOT_FOUND")
        return
    body = json.loads(version.content.body)
    names = ["write", "size"]
    attributes = body["attributes"] | {name: changed.attributes[name] for name in names}
    text = changed.text if "text" in paths else body["text"]
    content = write_item(text, attributes, version.content.expire_time_us)
    response = writer.call(stub, request, [Attempt(key, content)], read_sequence)
    if response is not None and read_item(response.item) != content:
        writer.recorder.report("wrong", key, f"expected {content}, got {response.item}")


def delete_item(writer: Writer) -> None:
    """Delete an item, which may be missing."""
    delete_one(writer, "item", writer.stubs.recommender.DeleteItem, pb.DeleteItemRequest)


def delete_one(writer: Writer, kind: str, stub: Stub, request_type: Callable[..., Any]) -> None:
    """Delete an item or a user, which may be missing."""
    key = writer.choose_present_key(kind)
    version = writer.get_version(key)
    request = request_type(catalog=key.catalog, allow_missing=version is None)
    setattr(request, f"{kind}_id", key.id)
    is_missing = version is not None and version.content is None
    reasons = [f"{kind.upper()}_NOT_FOUND"] if is_missing else []
    attempts = [Attempt(key, None)]
    response = writer.call(stub, request, attempts, lambda response: [response.sequence], *reasons)
    if response is not None and version is not None and not response.sequence:
        writer.recorder.report("lost", key, f"the deletion found nothing: {version}")


def delete_items_by_ids(writer: Writer) -> None:
    """Delete several items in one request."""
    catalog = writer.choose_catalog()
    numbers = writer.rng.sample(range(40), 5)
    keys = [Key(catalog, "item", f"{writer.name}-{number}") for number in numbers]
    keys = [key for key in keys if not writer.recorder.is_uncertain(key)]
    request = pb.BatchDeleteItemsRequest(
        catalog=catalog, ids=pb.ItemIds(item_ids=[key.id for key in keys])
    )
    _delete_batch(writer, request, keys)


def delete_items_by_filter(writer: Writer) -> None:
    """Delete the items with an attribute that only this writer gives."""
    catalog = writer.choose_catalog()
    batch = choose_batch(writer)
    keys = [
        key
        for key, version in dict(writer.recorder.model.versions).items()
        if (key.catalog, key.kind) == (catalog, "item")
        and version.content is not None
        and json.loads(version.content.body)["attributes"]["batch"] == batch
    ]
    if any(writer.recorder.is_uncertain(key) for key in _own_keys(writer, catalog)):
        return  # the request would also delete what is not acknowledged yet
    where = Filter(all=[equals("batch", batch)])
    _delete_batch(writer, pb.BatchDeleteItemsRequest(catalog=catalog, filter=where), keys)


def import_items(writer: Writer) -> None:
    """Send several messages of items before their responses are read."""
    catalog = writer.choose_catalog()
    count = writer.rng.randint(1, IMPORT_MESSAGES)
    messages = [_make_message(writer, catalog) for _ in range(count)]
    writer.stream(writer.stubs.recommender.ImportItems, messages, writer.choose_deadline())


def _make_message(writer: Writer, catalog: str) -> tuple[pb.ImportItemsRequest, list[Attempt]]:
    numbers = writer.rng.sample(range(IMPORTED_ITEMS), writer.rng.randint(1, IMPORT_MESSAGE_ITEMS))
    keys = [Key(catalog, "item", f"{writer.name}-i{number}") for number in numbers]
    items = [make_item(writer, key) for key in keys]
    attempts = [Attempt(key, read_item(item)) for key, item in zip(keys, items, strict=True)]
    return pb.ImportItemsRequest(catalog=catalog, items=items), attempts


def _delete_batch(writer: Writer, request: pb.BatchDeleteItemsRequest, keys: Sequence[Key]) -> None:
    if not keys:
        return
    writer.call(
        writer.stubs.recommender.BatchDeleteItems,
        request,
        [Attempt(key, None) for key in keys],
        lambda response: [response.sequence] * len(keys),
    )


def _own_keys(writer: Writer, catalog: str) -> list[Key]:
    numbered = [f"{writer.name}-{number}" for number in range(40)]
    imported = [f"{writer.name}-i{number}" for number in range(IMPORTED_ITEMS)]
    return [Key(catalog, "item", item_id) for item_id in (*numbered, *imported)]
