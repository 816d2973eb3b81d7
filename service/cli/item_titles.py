"""Titles of many items, for maps of a catalog."""

from __future__ import annotations

from collections.abc import Sequence

import akin

from service.cli import console

# Items in a call. Most items have a few kilobytes, so that their response is small.
_BATCH_ITEMS = 100

# Width of a title, in columns.
_TITLE_COLUMNS = 80

# Attributes that are titles, in the order of preference.
_TITLE_ATTRIBUTES = ("title", "name")


def fetch_titles(client: akin.Client, item_ids: Sequence[str]) -> dict[str, str]:
    """Return the titles of items by id: an attribute, or the beginning of the text.

    Items that do not exist any more have none.
    """
    titles: dict[str, str] = {}
    with console.show_spinner("titles"):
        for start in range(0, len(item_ids), _BATCH_ITEMS):
            for item in _fetch(client, item_ids[start : start + _BATCH_ITEMS]):
                titles[item.item_id] = console.shorten(_choose_title(item), _TITLE_COLUMNS)
    return titles


def _fetch(client: akin.Client, item_ids: Sequence[str]) -> list[akin.Item]:
    """Return the items that exist, in several calls if they are too long for one."""
    try:
        return list(client.batch_get_items(item_ids).items)
    except akin.AkinError as exc:
        if len(item_ids) == 1 or exc.reason != "ANSWER_TOO_LARGE":
            raise
    half = len(item_ids) // 2
    return _fetch(client, item_ids[:half]) + _fetch(client, item_ids[half:])


def _choose_title(item: akin.Item) -> str:
    for name in _TITLE_ATTRIBUTES:
        if name in item.attributes.fields and item.attributes.fields[name].string_value.strip():
            return item.attributes.fields[name].string_value
    return item.text
