"""The ids of responses with recommendations, which carry what they count as.

An id is a signed token, so that no row on disk is needed for each response: 24 bytes in 32
characters. They are, each unsigned and the highest byte first: the version (1 byte), the id of the
catalog (5), the day (3), the source (1), the signals (1), random bits (9) and the signature (4).
The highest bit of the source is set for a response without recommendations.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from enum import StrEnum
from hashlib import blake2s
from hmac import compare_digest
from secrets import token_bytes
from typing import NamedTuple, assert_never

from service.domain.recommendations import (
    ExamplesSource,
    ItemSource,
    PopularSource,
    Signals,
    Source,
    TextSource,
    UserSource,
    VectorSource,
)

US_PER_DAY = 86_400_000_000

_VERSION = 1
_RANDOM_BYTES = 9
_SIGNATURE_BYTES = 4
_ID_CHARACTERS = 32
_EMPTY_BIT = 0x80


class SourceKind(StrEnum):
    """What recommendations were requested for."""

    ITEM = "item"
    USER = "user"
    TEXT = "text"
    EXAMPLES = "examples"
    POPULAR = "popular"
    VECTOR = "vector"


class SignalKind(StrEnum):
    """What recommendations were based on."""

    TEXT = "text"
    BEHAVIOR = "behavior"
    BOTH = "both"


# Ids hold the places in these lists, so that they only grow at their ends.
_SOURCES = tuple(SourceKind)
_SIGNALS = tuple(SignalKind)


class ResponseKind(NamedTuple):
    """What responses are counted by; `day` is in UTC, in days since 1970."""

    catalog_id: int
    day: int
    source: SourceKind
    signals: SignalKind


class IdentifiedResponse(NamedTuple):
    """A response; `number` differs from those of all others of its kind.

    Nothing that follows a response without recommendations counts as a click on it.
    """

    kind: ResponseKind
    number: bytes
    has_recommendations: bool


class RecommendationIds:
    """Writes and reads the ids of the responses for one catalog.

    Args:
        catalog_id: the catalog.
        key: signs the ids; those that were signed with another key are not read.
    """

    def __init__(self, catalog_id: int, key: str) -> None:
        self._catalog_id = catalog_id
        self._key = blake2s(key.encode()).digest()

    def write(self, kind: ResponseKind, *, has_recommendations: bool = True) -> str:
        """Return the id of a new response."""
        source = _SOURCES.index(kind.source) | (0 if has_recommendations else _EMPTY_BIT)
        content = b"".join(
            (
                _VERSION.to_bytes(),
                kind.catalog_id.to_bytes(5),
                kind.day.to_bytes(3),
                source.to_bytes(),
                _SIGNALS.index(kind.signals).to_bytes(),
                token_bytes(_RANDOM_BYTES),
            )
        )
        return urlsafe_b64encode(content + self._sign(content)).decode()

    def read(self, recommendation_id: str) -> IdentifiedResponse | None:
        """Return the response with an id; None if no response for the catalog can have it."""
        if len(recommendation_id) != _ID_CHARACTERS:
            return None
        try:
            token = b64decode(recommendation_id, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        content, signature = token[:-_SIGNATURE_BYTES], token[-_SIGNATURE_BYTES:]
        if content[0] != _VERSION or not compare_digest(signature, self._sign(content)):
            return None
        catalog_id = int.from_bytes(content[1:6])
        if catalog_id != self._catalog_id:
            return None
        day, source, signals = int.from_bytes(content[6:9]), content[9] & ~_EMPTY_BIT, content[10]
        if source >= len(_SOURCES) or signals >= len(_SIGNALS):
            return None  # a newer version wrote it
        kind = ResponseKind(catalog_id, day, _SOURCES[source], _SIGNALS[signals])
        return IdentifiedResponse(kind, content[11:], not content[9] & _EMPTY_BIT)

    def _sign(self, content: bytes) -> bytes:
        return blake2s(content, digest_size=_SIGNATURE_BYTES, key=self._key).digest()


def find_source_kind(source: Source) -> SourceKind:
    """Return what a response to a query with this source counts as."""
    match source:
        case ItemSource():
            return SourceKind.ITEM
        case UserSource():
            return SourceKind.USER
        case TextSource():
            return SourceKind.TEXT
        case ExamplesSource():
            return SourceKind.EXAMPLES
        case PopularSource():
            return SourceKind.POPULAR
        case VectorSource():
            return SourceKind.VECTOR
    assert_never(source)


def find_signal_kind(signals: Signals) -> SignalKind:
    """Return what a response that is based on these signals counts as."""
    if not signals.behavior_weight:
        return SignalKind.TEXT
    return SignalKind.BOTH if signals.text_weight else SignalKind.BEHAVIOR
