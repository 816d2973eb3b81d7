"""Fields that several messages share: catalog, view, sequence numbers, times, pages and usage."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Protocol
from zlib import crc32

from akin.v1 import embedding_usage_pb2, item_pb2
from google.protobuf import timestamp_pb2

from service.domain import limits
from service.domain.generations import DEFAULT_CATALOG
from service.domain.usage import EmbeddingUsage
from service.domain.validation import catalog_violations
from service.domain.violations import Violation

LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, where Timestamp ends
NANOS_PER_SECOND = 1_000_000_000


class CatalogRequest(Protocol):
    """A request that names a catalog."""

    catalog: str


class ReadRequest(CatalogRequest, Protocol):
    """A request for a response that reflects at least the write `min_sequence`."""

    min_sequence: int


def check_catalog(request: CatalogRequest) -> Iterator[Violation]:
    """Check the name of the catalog; empty means the default catalog."""
    if request.catalog:
        yield from catalog_violations(request.catalog)


def check_read(request: ReadRequest) -> Iterator[Violation]:
    """Check the catalog and min_sequence, except that the write exists."""
    yield from check_catalog(request)
    if request.min_sequence < 0:
        yield Violation("min_sequence", "must not be negative")


def check_expected_sequence(sequence: int | None, *, minimum: int) -> Iterator[Violation]:
    """Check the sequence number that a resource is expected to have."""
    if sequence is not None and sequence < minimum:
        rule = "must be positive" if minimum else "must not be negative"
        yield Violation("expected_sequence", rule)


def check_update_mask(paths: Sequence[str]) -> Iterator[Violation]:
    """Check the number of paths, and that `*` is alone."""
    if len(paths) > limits.UPDATE_MASK_PATHS:
        rule = f"must have at most {limits.UPDATE_MASK_PATHS} paths"
        yield Violation("update_mask", rule)
    elif "*" in paths and len(paths) > 1:
        yield Violation("update_mask", "must have no other path beside *")


def read_full_view(view: int, violations: list[Violation]) -> bool:
    """Return whether a view asks for whole items; an unknown view is added to `violations`."""
    if view not in item_pb2.ItemView.values():
        violations.append(Violation("view", "must be a value of ItemView"))
    return view == item_pb2.ITEM_VIEW_FULL


def read_time(time: timestamp_pb2.Timestamp, path: str, violations: list[Violation]) -> int | None:
    """Return a time in microseconds since 1970 UTC; one out of range is added to `violations`."""
    if 0 <= time.seconds <= LAST_SECOND and 0 <= time.nanos < NANOS_PER_SECOND:
        return time.seconds * 1_000_000 + time.nanos // 1_000
    violations.append(Violation(path, "must be a time between the years 1970 and 9999"))
    return None


def timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    """Return the message of a time in microseconds since 1970 UTC."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def usage_message(usage: EmbeddingUsage) -> embedding_usage_pb2.EmbeddingUsage:
    """Return the message of an embedding usage."""
    return embedding_usage_pb2.EmbeddingUsage(
        text_count=usage.text_count,
        cached_text_count=usage.cached_text_count,
        prompt_token_count=usage.prompt_tokens,
        cost_usd=usage.cost_usd,
    )


def write_page_token(last_id: str, catalog: str, query: bytes) -> str:
    """Return the token that continues a list after `last_id`; empty if the list has ended.

    Args:
        last_id: the last id of the page; empty on the last page.
        catalog: the catalog in the request.
        query: what else identifies the list, such as its serialized filter.
    """
    if not last_id:
        return ""
    return base64.urlsafe_b64encode(_list_checksum(catalog, query) + last_id.encode()).decode()


def read_page_token(token: str, catalog: str, query: bytes, violations: list[Violation]) -> str:
    """Return the id that a list continues after; a token of another list is a violation."""
    if not token:
        return ""
    checksum = _list_checksum(catalog, query)
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
        if content.startswith(checksum):
            return content.removeprefix(checksum).decode()
    except (binascii.Error, ValueError):
        pass
    violations.append(Violation("page_token", "must be the next_page_token of the same list"))
    return ""


def _list_checksum(catalog: str, query: bytes) -> bytes:
    """Return four bytes that tell the tokens of one list from those of another."""
    return crc32((catalog or DEFAULT_CATALOG).encode() + b"\0" + query).to_bytes(4)
