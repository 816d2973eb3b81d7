"""Every limit of the contract; the proto comments quote these numbers."""

from __future__ import annotations

MESSAGE_BYTES = 16 * 1024 * 1024
ID_BYTES = 256
TEXT_BYTES = 1024 * 1024
ATTRIBUTES_BYTES = 64 * 1024
ATTRIBUTES_KEYS = 256
ATTRIBUTES_DEPTH = 4
PREFERENCES = 100
PREFERENCES_BYTES = 8 * 1024 * 1024
LIKED_ITEMS = 10_000
WEIGHT = 1000.0
EXCLUDED_ITEMS = 10_000
RECOMMENDATIONS = 1_000
RECOMMENDATIONS_DEFAULT = 10
IMPORT_ITEMS = 1_000
PAGE_ITEMS = 1_000
PAGE_ITEMS_DEFAULT = 100
PAGE_BYTES = 1024 * 1024
"""A page closes beyond this, counted as JSON, of which a Struct takes up to 2.2 times the bytes on
the wire; so that with one more item it stays below gRPC's usual 4 MiB."""
