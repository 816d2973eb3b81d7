"""What requests and responses say of resources, in the form that the model compares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format

from faults.model import INTERACTION, Content, Key


def write_item(text: str, attributes: Mapping[str, Any], expire_time_us: int | None) -> Content:
    """Return the content of an item."""
    body = {"text": text, "attributes": dict(attributes)}
    return Content(json.dumps(body, sort_keys=True), expire_time_us)


def write_user(
    preferences: Iterable[Sequence[Any]], liked_items: Iterable[Sequence[Any]]
) -> Content:
    """Return the content of a user, from pairs of a text or an item id and a weight."""
    body = {
        "preferences": [[text, float(weight)] for text, weight in preferences],
        "liked_items": [[item_id, float(weight)] for item_id, weight in liked_items],
    }
    return Content(json.dumps(body, sort_keys=True))


def read_item(item: Any) -> Content:
    """Return the content of an item in a response."""
    attributes = json_format.MessageToDict(item.attributes)
    expire_time_us = item.expire_time.ToMicroseconds() if item.HasField("expire_time") else None
    return write_item(item.text, attributes, expire_time_us)


def read_user(user: Any) -> Content:
    """Return the content of a user in a response."""
    return write_user(
        [(preference.text, preference.weight) for preference in user.preferences],
        [(liked.item_id, liked.weight) for liked in user.liked_items],
    )


def write_interaction(value: float | None) -> Content:
    """Return the content of an interaction."""
    return Content(json.dumps({"value": value}))


def read_interaction(interaction: Any) -> Content:
    """Return the content of an interaction in a request or response."""
    return write_interaction(interaction.value if interaction.HasField("value") else None)


def write_interaction_key(catalog: str, *parts: object) -> Key:
    """Return the key of an interaction: its user, time in microseconds, item, type and id."""
    return Key(catalog, INTERACTION, " ".join(map(str, parts)))


def make_interaction_key(catalog: str, interaction: Any) -> Key:
    """Return the key of an interaction in a request or response."""
    return write_interaction_key(
        catalog,
        interaction.user_id,
        interaction.time.ToMicroseconds(),
        interaction.item_id,
        interaction.type,
        interaction.interaction_id,
    )
