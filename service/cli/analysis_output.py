"""What the commands for analyses share: how they word extents, texts of items, and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import akin
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

TEXTS = 200
"""The most items whose texts are fetched for a table: 0.3 s of calls to a server nearby."""


def plain(response: Message) -> object:
    """A response as plain values, fields named as in the contract; zeros too, as of group 0."""
    return MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def groups(number: int) -> str:
    """So many groups, in words."""
    return f"{number:,} group" + "s" * (number != 1)


def among(extent: akin.Extent) -> str:
    """What an answer was made from, for a title."""
    return f"among {extent.item_count:,} items"


def sample(extent: akin.Extent) -> str | None:
    """What a caption says of an answer that was made from a sample only."""
    if not extent.sampled:
        return None
    return f"of a sample: {extent.examined_count:,} of {extent.item_count:,} items were looked at"


def caption(*remarks: str | None) -> str | None:
    """Remarks as one caption; none if there are none."""
    return "; ".join(each for each in remarks if each) or None


def texts(client: akin.Client, item_ids: Iterable[str]) -> dict[str, str]:
    """The texts of items that are still there, of the first TEXTS of them."""
    found = {}
    for item_id in islice(dict.fromkeys(item_ids), TEXTS):
        try:
            found[item_id] = client.get_item(item_id).text
        except akin.AkinError as exc:
            if exc.reason != "ITEM_NOT_FOUND":
                raise
    return found
