"""Output that the analysis commands share: coverage, captions and the texts of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import akin

# Items whose texts are fetched for a table, one call each: 0.3 s with a server nearby.
FETCHED_TEXTS = 200


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural if necessary; by default, it ends with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_names(noun: str, names: Sequence[str]) -> str:
    """Return names after their noun, which is in the plural if there are several."""
    return f"{noun if len(names) == 1 else f'{noun}s'}: {', '.join(names)}"


def describe_sample(coverage: akin.Coverage) -> str | None:
    """Return how much of a catalog was examined; None if all of it was."""
    if not coverage.sampled:
        return None
    return (
        f"from a random sample: {coverage.examined_item_count:,} of "
        f"{format_count(coverage.item_count, 'item')} examined"
    )


def join_captions(*captions: str | None) -> str | None:
    """Return several captions as one, None if there are none."""
    return "; ".join(caption for caption in captions if caption) or None


def fetch_texts(client: akin.Client, item_ids: Iterable[str]) -> dict[str, str]:
    """Return the texts of the first FETCHED_TEXTS items; deleted items have none."""
    texts = {}
    for item_id in islice(dict.fromkeys(item_ids), FETCHED_TEXTS):
        try:
            texts[item_id] = client.get_item(item_id).text
        except akin.AkinError as exc:
            if exc.reason != "ITEM_NOT_FOUND":
                raise
    return texts
