"""What makes a value acceptable: each check yields every violation, with the field's path.

Descriptions never quote the caller's text, for they end up in logs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from service.domain import limits
from service.domain.filters import Filter, filter_violations
from service.domain.items import Item, JsonValue
from service.domain.recommendations import (
    ExamplesSource,
    ItemSource,
    Query,
    Source,
    TextSource,
    UserSource,
)
from service.domain.spaces import ModelChoice
from service.domain.users import User
from service.domain.violations import Violation

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CHARACTER_BYTES = 6
_NUMBER_BYTES = 26
_AROUND_BYTES = 4
"""What JSON may take at most: for a character, escaped; for a number; for quotes and commas."""

_CATALOG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def catalog_violations(catalog: str) -> Iterator[Violation]:
    """Checks a catalog's name."""
    if not _CATALOG.fullmatch(catalog):
        yield Violation("catalog", "must match [a-z0-9][a-z0-9_-]{0,62}")


def model_violations(choice: ModelChoice) -> Iterator[Violation]:
    """Checks what a caller wants to embed with."""
    if not 0 <= choice.dimensions <= limits.DIMENSIONS:
        yield Violation("embedding.dimensions", f"must be between 0 and {limits.DIMENSIONS}")
    if len(choice.model.encode()) > limits.ID_BYTES or _CONTROL.search(choice.model):
        yield Violation(
            "embedding.model", f"must be at most {limits.ID_BYTES} bytes without control characters"
        )
    for name, template in (
        ("template", choice.template),
        ("query_template", choice.query_template),
    ):
        if template and "{text}" not in template:
            yield Violation(f"embedding.{name}", "must have {text} in it")
        elif len(template.encode()) > limits.TEMPLATE_BYTES:
            yield Violation(
                f"embedding.{name}", f"must be at most {limits.TEMPLATE_BYTES} bytes of UTF-8"
            )


def item_violations(item: Item, path: str, now_us: int) -> Iterator[Violation]:
    """Checks an item about to be written at `now_us`."""
    yield from id_violations(item.item_id, f"{path}.item_id")
    yield from text_violations(item.text, f"{path}.text")
    yield from attributes_violations(item.attributes, f"{path}.attributes")
    yield from expire_time_violations(item, path, now_us)


def expire_time_violations(item: Item, path: str, now_us: int) -> Iterator[Violation]:
    """Check that an item written at `now_us` does not expire before."""
    if item.expire_time_us is not None and item.expire_time_us <= now_us:
        yield Violation(f"{path}.expire_time", "must lie in the future")


def user_violations(user: User, path: str) -> Iterator[Violation]:
    """Checks a user about to be written."""
    yield from id_violations(user.user_id, f"{path}.user_id")
    yield from _count_violations(user.preferences, limits.PREFERENCES, f"{path}.preferences")
    for number, preference in enumerate(user.preferences[: limits.PREFERENCES]):
        yield from text_violations(preference.text, f"{path}.preferences[{number}].text")
        yield from _weight_violations(preference.weight, f"{path}.preferences[{number}].weight")
    if sum(len(each.text.encode()) for each in user.preferences) > limits.PREFERENCES_BYTES:
        yield Violation(
            f"{path}.preferences", f"must be at most {limits.PREFERENCES_BYTES} bytes in all"
        )
    yield from _count_violations(user.liked_items, limits.LIKED_ITEMS, f"{path}.liked_items")
    seen: set[str] = set()
    for number, liked in enumerate(user.liked_items[: limits.LIKED_ITEMS]):
        yield from id_violations(liked.item_id, f"{path}.liked_items[{number}].item_id")
        yield from _weight_violations(liked.weight, f"{path}.liked_items[{number}].weight")
        if liked.item_id in seen:
            yield Violation(f"{path}.liked_items[{number}].item_id", "is in the list already")
        seen.add(liked.item_id)


def query_violations(query: Query) -> Iterator[Violation]:
    """Check a query for recommendations."""
    yield from _source_violations(query.source)
    if not 1 <= query.limit <= limits.RECOMMENDATIONS:
        yield Violation(
            "limit", f"must be between 0 (for the default) and {limits.RECOMMENDATIONS}"
        )
    if query.filter is not None:
        yield from filter_violations(query.filter)
    yield from ids_violations(query.exclude_item_ids, limits.EXCLUDED_ITEMS, "exclude_item_ids")
    yield from _choice_violations(query)


def _source_violations(source: Source | None) -> Iterator[Violation]:
    match source:
        case ItemSource(item_id):
            yield from id_violations(item_id, "item_id")
        case UserSource(user_id):
            yield from id_violations(user_id, "user_id")
        case TextSource(text):
            yield from text_violations(text, "text")
        case ExamplesSource():
            yield from _examples_violations(source)
        case None:
            yield Violation("source", "must be one of item_id, user_id, text, examples")


def _choice_violations(query: Query) -> Iterator[Violation]:
    if query.min_score is not None and not math.isfinite(query.min_score):
        yield Violation("min_score", "must be a finite number")
    if not 0 <= query.diversity <= 1:  # also true of NaN
        yield Violation("diversity", "must be between 0 and 1")
    if query.max_similarity is not None and not -1 <= query.max_similarity <= 1:
        yield Violation("max_similarity", "must be between -1 and 1")


def _examples_violations(source: ExamplesSource) -> Iterator[Violation]:
    examples = (*source.positive, *source.negative)
    if not examples:
        yield Violation("examples", "must have at least one")
    yield from _count_violations(examples, limits.EXAMPLES, "examples")
    size = 0
    for name, some in (("positive", source.positive), ("negative", source.negative)):
        for number, each in enumerate(some[: limits.EXAMPLES]):
            path = f"examples.{name}[{number}]"
            match each.example:
                case ItemSource(item_id):
                    yield from id_violations(item_id, f"{path}.item_id")
                case TextSource(text):
                    yield from text_violations(text, f"{path}.text")
                    size += len(text.encode())
                case None:
                    yield Violation(f"{path}.example", "must be one of item_id, text")
            if not 0 <= each.weight <= limits.WEIGHT:
                yield Violation(f"{path}.weight", f"must be between 0 and {limits.WEIGHT:g}")
    if size > limits.EXAMPLES_BYTES:
        yield Violation("examples", f"must have at most {limits.EXAMPLES_BYTES} bytes of text")


def page_violations(page_size: int, wanted: Filter | None = None) -> Iterator[Violation]:
    """Checks the size of a page and what is to be on it."""
    if not 1 <= page_size <= limits.PAGE_ITEMS:
        yield Violation("page_size", f"must be between 0 (for the default) and {limits.PAGE_ITEMS}")
    if wanted is not None:
        yield from filter_violations(wanted)


def id_violations(value: str, path: str) -> Iterator[Violation]:
    """Checks the id of an item or user."""
    # Most ids are short and plain, and this runs for each of 10,000 excluded ones.
    if value.isascii() and value.isprintable() and 0 < len(value) <= limits.ID_BYTES:
        return
    if not 1 <= len(value.encode()) <= limits.ID_BYTES:
        yield Violation(path, f"must be 1 to {limits.ID_BYTES} bytes of UTF-8")
    elif _CONTROL.search(value):
        yield Violation(path, "must not contain control characters")


def ids_violations(values: Sequence[str], limit: int, path: str) -> Iterator[Violation]:
    """Check a list of ids; of a list that is too long, the first `limit`."""
    yield from _count_violations(values, limit, path)
    for position, value in enumerate(values[:limit]):
        yield from id_violations(value, f"{path}[{position}]")


def text_violations(value: str, path: str) -> Iterator[Violation]:
    """Checks a text to embed."""
    if not value.strip():
        yield Violation(path, "must not be blank")
    elif len(value.encode()) > limits.TEXT_BYTES:
        yield Violation(path, f"must be at most {limits.TEXT_BYTES} bytes of UTF-8")


def attributes_violations(attributes: Mapping[str, JsonValue], path: str) -> Iterator[Violation]:
    """Check the attributes of an item."""
    if not attributes:
        return
    measured = _Measure()
    depth = measured.depth(attributes)
    if depth > limits.ATTRIBUTES_DEPTH:
        yield Violation(path, f"must be at most {limits.ATTRIBUTES_DEPTH} levels deep")
    elif measured.keys > limits.ATTRIBUTES_KEYS:
        yield Violation(path, f"must have at most {limits.ATTRIBUTES_KEYS} keys over all levels")
    else:
        if not measured.finite:
            yield from _number_violations(attributes, path)
        # Most are so small that they need not be written out to know.
        if measured.most_bytes > limits.ATTRIBUTES_BYTES and (
            len(json.dumps(attributes, ensure_ascii=False).encode()) > limits.ATTRIBUTES_BYTES
        ):
            yield Violation(path, f"must be at most {limits.ATTRIBUTES_BYTES} bytes as JSON")


class _Measure:
    """Counts keys and bytes, and looks for numbers that are none, in one walk."""

    __slots__ = ("finite", "keys", "most_bytes")

    def __init__(self) -> None:
        self.keys = 0
        self.most_bytes = 0
        self.finite = True

    def depth(self, value: JsonValue) -> int:
        """The levels of a value, which is counted on the way."""
        # Concrete types first: asking for the abstract ones takes ten times as long.
        if isinstance(value, str):
            self.most_bytes += _CHARACTER_BYTES * len(value) + _AROUND_BYTES
            return 0
        if isinstance(value, float | int | None):
            self.most_bytes += _NUMBER_BYTES
            self.finite = self.finite and (value is None or math.isfinite(value))
            return 0
        self.most_bytes += _AROUND_BYTES
        if isinstance(value, dict | Mapping):
            self.keys += len(value)
            for key in value:
                self.most_bytes += _CHARACTER_BYTES * len(key) + _AROUND_BYTES
            return 1 + max(map(self.depth, value.values()), default=0)
        return 1 + max(map(self.depth, value), default=0)


def _number_violations(value: JsonValue, path: str) -> Iterator[Violation]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Violation(path, "must be a finite number")
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _number_violations(child, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, child in enumerate(value):
            yield from _number_violations(child, f"{path}[{number}]")


def _weight_violations(weight: float, path: str) -> Iterator[Violation]:
    if not abs(weight) <= limits.WEIGHT:  # also true of NaN
        yield Violation(path, f"must be between {-limits.WEIGHT:g} and {limits.WEIGHT:g}")


def _count_violations(values: Sequence[object], limit: int, path: str) -> Iterator[Violation]:
    if len(values) > limit:
        yield Violation(path, f"must have at most {limit} entries")
