"""Names of fields in imported files, and the names that people confuse them with."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

ITEM_FIELDS = ("id", "text", "attributes", "expire_time", "vectors")
USER_FIELDS = ("user_id", "preferences", "liked", "liked_items")

_SEPARATORS = str.maketrans("", "", "_- ")

# Other words for a field, without case, `_`, `-` and spaces.
_SYNONYMS = {
    "attributes": ("metadata", "meta", "properties", "props", "facts", "payload", "fields"),
    "expire_time": ("expires", "expiresat", "expiry", "expiration", "expireat", "validuntil"),
    "id": ("itemid", "productid", "sku", "uuid", "key"),
    "liked": ("likes", "likedids", "likeditemids", "favorites", "favourites"),
    "preferences": ("interests", "tastes", "prefs"),
    "text": ("content", "description", "body", "title", "document", "pagecontent", "name"),
    "vectors": ("vector", "embedding", "embeddings"),
    "user_id": ("user", "uid", "customerid", "visitorid", "member", "memberid"),
}


def suggest(name: str, candidates: Collection[str]) -> str | None:
    """Return the candidate that a wrong name probably means; None if no candidate is likely."""
    short = normalize_name(name)
    by_short = {normalize_name(candidate): candidate for candidate in candidates}
    if short in by_short:
        return by_short[short]
    for field, words in _SYNONYMS.items():
        if field in candidates and short in words:
            return field
    close = get_close_matches(short, by_short, 1, 0.75)
    return by_short[close[0]] if close else None


def is_text(name: str) -> bool:
    """Is this probably the name of the text of an item?"""
    return normalize_name(name) in {"text", *_SYNONYMS["text"]}


def normalize_name(name: str) -> str:
    """Return a name without what spellings differ in: case, `_`, `-` and spaces."""
    return name.lower().translate(_SEPARATORS)
