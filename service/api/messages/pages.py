"""Page tokens of lists, which are bound to the list that they continue."""

from __future__ import annotations

import base64
import binascii
from zlib import crc32

from service.domain.generations import DEFAULT_CATALOG
from service.domain.violations import Violation


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
