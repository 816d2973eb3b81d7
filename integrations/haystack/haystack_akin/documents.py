"""Haystack documents as Akin's items, and the other way around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import akin
import grpc
from google.protobuf.json_format import MessageToDict
from haystack import Document

# The attribute with the times in the metadata as RFC 3339, by the path of the metadata field.
# Haystack's dates may lack a time zone, and Akin compares only times that have one.
TIMES = "_times"

# Shortest string that can be a date, such as 20260102.
_MIN_DATE_CHARACTERS = 8

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def build_item(document: Document, *, with_embedding: bool) -> akin.Item:
    """Return the item of a document: its content as text, and its metadata as attributes.

    Args:
        document: the document.
        with_embedding: the vector of the item is the embedding of the document, if it has one.

    Raises:
        ValueError: the document has no content, or metadata that are not JSON.
    """
    if not document.content:
        raise ValueError(f"document {document.id!r} has no content; Akin stores texts only")
    vectors = [document.embedding] if with_embedding and document.embedding else None
    return akin.item(
        document.id, document.content, build_attributes(document.meta), vectors=vectors
    )


def build_attributes(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an item: the metadata, and the times in it."""
    times = {path: time.isoformat() for path, time in _find_times(meta)}
    return {**meta, TIMES: times} if times else dict(meta)


def build_document(item: akin.Item, score: float | None = None) -> Document:
    """Return the document of an item, with its attributes as metadata."""
    meta: dict[str, Any] = _restore_integers(MessageToDict(item.attributes))
    meta.pop(TIMES, None)
    return Document(id=item.item_id, content=item.text, meta=meta, score=score)


def parse_time(value: object) -> datetime | None:
    """Return the time of an ISO 8601 string, in UTC if it has no time zone; None for others."""
    if isinstance(value, datetime):
        time = value
    elif isinstance(value, str) and len(value) >= _MIN_DATE_CHARACTERS:
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            return None
    else:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def check_results(results: Sequence[akin.ItemResult]) -> None:
    """Check that all items of an import were stored.

    Raises:
        AkinError: some were not. The others are stored.
    """
    failures = [result for result in results if result.code]
    if failures:
        first = failures[0]
        raise akin.AkinError(
            _STATUS_CODES[first.code],
            f"{len(failures)} of {len(results)} documents were not stored; "
            f"the first is {first.item_id!r}: {first.message}",
        )


def _find_times(meta: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, datetime]]:
    for key, value in meta.items():
        if isinstance(value, Mapping):
            yield from _find_times(value, f"{prefix}{key}.")
        elif time := parse_time(value):
            yield f"{prefix}{key}", time


def _restore_integers(value: Any) -> Any:
    """Return a JSON value whose whole numbers are integers; Akin stores all numbers as doubles."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _restore_integers(child) for key, child in value.items()}
        case list():
            return [_restore_integers(child) for child in value]
        case _:
            return value
