"""Names of fields in imported files, and the names that people confuse them with."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

ITEM_FIELDS = ("id", "text", "attributes", "expire_time")
USER_FIELDS = ("user_id", "preferences", "liked", "liked_items")

# Other words for a field, without case, `_` and `-`.
_SYNONYMS = {
    "attributes": ("metadata", "meta", "properties", "props", "facts", "payload", "fields"),
    "expire_time": ("expires", "expiresat", "expiry", "expiration", "expireat", "validuntil"),
    "id": ("itemid", "productid", "sku", "uuid", "key"),
    "liked": ("likes", "likedids", "likeditemids", "favorites", "favourites"),
    "preferences": ("interests", "tastes", "prefs"),
    "text": ("content", "description", "body", "title", "document", "pagecontent", "name"),
    "user_id": ("user", "uid", "customerid", "visitorid", "member", "memberid"),
}

_USER_IDS = {"userid", *_SYNONYMS["user_id"]}
_ITEM_IDS = {"itemid", "item", "productid", "product", "sku", "movieid", "bookid", "articleid"}

EVENT_LOG = (
    "an event (user and item), which this version cannot import; "
    "write one line per user with all the items they liked"
)


def suggest(name: str, candidates: Collection[str]) -> str | None:
    """Return the candidate that a wrong name probably means; None if no candidate is likely."""
    short = _shorten(name)
    by_short = {_shorten(candidate): candidate for candidate in candidates}
    if short in by_short:
        return by_short[short]
    for field, words in _SYNONYMS.items():
        if field in candidates and short in words:
            return field
    close = get_close_matches(short, by_short, 1, 0.75)
    return by_short[close[0]] if close else None


def is_event(names: Collection[str]) -> bool:
    """Are these the fields of something that a user did with an item?"""
    short = {_shorten(name) for name in names}
    return bool(short & _USER_IDS and short & _ITEM_IDS and not short & {"id", "liked"})


def _shorten(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
