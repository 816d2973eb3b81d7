"""Validates values: each check yields every violation, with the path of its field.

Descriptions never contain the caller's text, because they are logged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence

from service.domain import limits
from service.domain.attributes_validation import attributes_violations
from service.domain.boosts import boosts_violations
from service.domain.filters import Filter, filter_violations
from service.domain.groups import group_by_violations
from service.domain.interactions import Interaction, InteractionType
from service.domain.items import Item
from service.domain.own_vectors import own_vectors_violations
from service.domain.recommendations import (
    ExamplesSource,
    ItemSource,
    PopularSource,
    Query,
    Relation,
    Source,
    TextSource,
    UserSource,
    VectorSource,
)
from service.domain.spaces import ModelChoice
from service.domain.users import User
from service.domain.vectors import direction_violations
from service.domain.violations import Violation

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_CATALOG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def catalog_violations(catalog: str) -> Iterator[Violation]:
    """Validate the name of a catalog."""
    if not _CATALOG.fullmatch(catalog):
        yield Violation("catalog", "must match [a-z0-9][a-z0-9_-]{0,62}")


def read_violations(catalog: str, min_sequence: int = 0) -> Iterator[Violation]:
    """Validate the catalog of a read, and the sequence number of the write that it must reflect.

    An empty name means the default catalog. Whether the write exists is known only to the store.
    """
    if catalog:
        yield from catalog_violations(catalog)
    if min_sequence < 0:
        yield Violation("min_sequence", "must not be negative")


def write_violations(
    catalog: str, expected_sequence: int | None = None, *, min_expected: int = 0
) -> Iterator[Violation]:
    """Validate the catalog of a write, and the sequence number that the resource must have.

    An empty name means the default catalog.
    """
    if catalog:
        yield from catalog_violations(catalog)
    if expected_sequence is not None and expected_sequence < min_expected:
        rule = "must be positive" if min_expected else "must not be negative"
        yield Violation("expected_sequence", rule)


def update_mask_violations(paths: Sequence[str]) -> Iterator[Violation]:
    """Validate the number of paths of an update mask, and that `*` is alone."""
    if len(paths) > limits.UPDATE_MASK_PATHS:
        yield Violation("update_mask", f"must have at most {limits.UPDATE_MASK_PATHS} paths")
    elif "*" in paths and len(paths) > 1:
        yield Violation("update_mask", "must have no other path beside *")


def model_violations(choice: ModelChoice) -> Iterator[Violation]:
    """Validate the model that a caller chose."""
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
    """Validate an item to be written at the time `now_us`."""
    yield from id_violations(item.item_id, f"{path}.item_id")
    yield from text_violations(item.text, f"{path}.text")
    yield from attributes_violations(item.attributes, f"{path}.attributes")
    yield from own_vectors_violations(item.vectors, f"{path}.vectors")
    yield from expire_time_violations(item, path, now_us)


def expire_time_violations(item: Item, path: str, now_us: int) -> Iterator[Violation]:
    """Validate that an item written at the time `now_us` expires later."""
    if item.expire_time_us is not None and item.expire_time_us <= now_us:
        yield Violation(f"{path}.expire_time", "must lie in the future")


def user_violations(user: User, path: str) -> Iterator[Violation]:
    """Validate a user to be written."""
    yield from id_violations(user.user_id, f"{path}.user_id")
    yield from _count_violations(user.preferences, limits.PREFERENCES, f"{path}.preferences")
    for number, preference in enumerate(user.preferences[: limits.PREFERENCES]):
        yield from text_violations(preference.text, f"{path}.preferences[{number}].text")
        yield from _weight_violations(preference.weight, f"{path}.preferences[{number}].weight")
    if (
        sum(len(preference.text.encode()) for preference in user.preferences)
        > limits.PREFERENCES_BYTES
    ):
        yield Violation(
            f"{path}.preferences", f"must be at most {limits.PREFERENCES_BYTES} bytes in all"
        )
    yield from _count_violations(user.liked_items, limits.LIKED_ITEMS, f"{path}.liked_items")
    item_ids: set[str] = set()
    for number, liked in enumerate(user.liked_items[: limits.LIKED_ITEMS]):
        yield from id_violations(liked.item_id, f"{path}.liked_items[{number}].item_id")
        yield from _weight_violations(liked.weight, f"{path}.liked_items[{number}].weight")
        if liked.item_id in item_ids:
            yield Violation(f"{path}.liked_items[{number}].item_id", "is in the list already")
        item_ids.add(liked.item_id)


def interaction_violations(
    interaction: Interaction, path: str, types: Collection[str], now_us: int
) -> Iterator[Violation]:
    """Validate an interaction that is recorded at the time `now_us`.

    Args:
        interaction: the interaction.
        path: the path of its field.
        types: the types of the catalog.
        now_us: the time.
    """
    key = interaction.key
    yield from id_violations(key.user_id, f"{path}.user_id")
    yield from id_violations(key.item_id, f"{path}.item_id")
    if key.interaction_id:
        yield from id_violations(key.interaction_id, f"{path}.interaction_id")
    if key.type not in types:
        names = ", ".join(InteractionType)
        rule = f"must be one of {names}, or a type in the interaction_weights of the catalog"
        yield Violation(f"{path}.type", rule)
    if not 0 <= key.time_us <= now_us + limits.INTERACTION_FUTURE_US:
        yield Violation(f"{path}.time", "must be between 1970 and a day from now")
    if interaction.value is not None and not math.isfinite(interaction.value):
        yield Violation(f"{path}.value", "must be a finite number")


def query_violations(query: Query) -> Iterator[Violation]:
    """Validate a query for recommendations."""
    yield from _source_violations(query.source)
    if not 1 <= query.limit <= limits.RECOMMENDATIONS:
        yield Violation(
            "limit", f"must be between 0 (for the default) and {limits.RECOMMENDATIONS}"
        )
    if query.filter is not None:
        yield from filter_violations(query.filter)
    yield from ids_violations(query.exclude_item_ids, limits.EXCLUDED_ITEMS, "exclude_item_ids")
    yield from _reranking_violations(query)
    if query.with_vectors and not query.full:
        yield Violation("include_vectors", "must not be set unless view is ITEM_VIEW_FULL")
    yield from _behavior_violations(query)
    if query.group_by is not None:
        yield from group_by_violations(query.group_by)
    yield from boosts_violations(query.boosts)
    yield from _lexical_violations(query)


def _behavior_violations(query: Query) -> Iterator[Violation]:
    if query.relation is not Relation.SIMILAR and not isinstance(query.source, ItemSource):
        yield Violation("relation", "must not be set unless the source is an item")
    if len(query.seen_types) > limits.INTERACTION_TYPES:
        yield Violation(
            "exclude_interactions.types", f"must have at most {limits.INTERACTION_TYPES}"
        )
    boost = query.new_item_boost
    if boost is not None and not 0 <= boost <= limits.NEW_ITEM_BOOST:
        yield Violation("new_item_boost", f"must be between 0 and {limits.NEW_ITEM_BOOST:g}")


def weight_violations(lexical_weight: float | None) -> Iterator[Violation]:
    """Validate how much words count."""
    if lexical_weight is not None and not 0 <= lexical_weight <= 1:  # also true of NaN
        yield Violation("lexical_weight", "must be between 0 and 1")


def _lexical_violations(query: Query) -> Iterator[Violation]:
    yield from weight_violations(query.lexical_weight)
    if query.lexical_weight is not None and not isinstance(query.source, TextSource):
        yield Violation("lexical_weight", "must not be set unless the source is a text")


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
        case VectorSource(values):
            yield from direction_violations(values, "vector.values")
        case PopularSource(half_life_days):
            least, most = limits.MIN_HALF_LIFE_DAYS, limits.MAX_HALF_LIFE_DAYS
            if not least <= half_life_days <= most:  # also true of NaN
                yield Violation("popular.half_life_days", f"must be between {least:g} and {most:g}")
        case None:
            yield Violation(
                "source", "must be one of item_id, user_id, text, examples, popular, vector"
            )


def _reranking_violations(query: Query) -> Iterator[Violation]:
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
    for name, half in (("positive", source.positive), ("negative", source.negative)):
        for number, example in enumerate(half[: limits.EXAMPLES]):
            path = f"examples.{name}[{number}]"
            match example.example:
                case ItemSource(item_id):
                    yield from id_violations(item_id, f"{path}.item_id")
                case TextSource(text):
                    yield from text_violations(text, f"{path}.text")
                    size += len(text.encode())
                case None:
                    yield Violation(f"{path}.example", "must be one of item_id, text")
            if not 0 <= example.weight <= limits.WEIGHT:
                yield Violation(f"{path}.weight", f"must be between 0 and {limits.WEIGHT:g}")
    if size > limits.EXAMPLES_BYTES:
        yield Violation("examples", f"must have at most {limits.EXAMPLES_BYTES} bytes of text")


def page_violations(page_size: int, filter_: Filter | None = None) -> Iterator[Violation]:
    """Validate the size and the filter of a page."""
    if not 1 <= page_size <= limits.PAGE_ITEMS:
        yield Violation("page_size", f"must be between 0 (for the default) and {limits.PAGE_ITEMS}")
    if filter_ is not None:
        yield from filter_violations(filter_)


def id_violations(value: str, path: str) -> Iterator[Violation]:
    """Validate the id of an item or user."""
    # The fast path for most ids, because a query can exclude 10,000.
    if value.isascii() and value.isprintable() and 0 < len(value) <= limits.ID_BYTES:
        return
    if not 1 <= len(value.encode()) <= limits.ID_BYTES:
        yield Violation(path, f"must be 1 to {limits.ID_BYTES} bytes of UTF-8")
    elif _CONTROL.search(value):
        yield Violation(path, "must not contain control characters")


def ids_violations(values: Sequence[str], limit: int, path: str) -> Iterator[Violation]:
    """Validate a list of ids; of a list that is too long, the first `limit`."""
    yield from _count_violations(values, limit, path)
    for position, value in enumerate(values[:limit]):
        yield from id_violations(value, f"{path}[{position}]")


def text_violations(value: str, path: str) -> Iterator[Violation]:
    """Validate a text to embed."""
    if not value.strip():
        yield Violation(path, "must not be blank")
    elif len(value.encode()) > limits.TEXT_BYTES:
        yield Violation(path, f"must be at most {limits.TEXT_BYTES} bytes of UTF-8")


def _weight_violations(weight: float, path: str) -> Iterator[Violation]:
    if not abs(weight) <= limits.WEIGHT:  # also true of NaN
        yield Violation(path, f"must be between {-limits.WEIGHT:g} and {limits.WEIGHT:g}")


def _count_violations(values: Sequence[object], limit: int, path: str) -> Iterator[Violation]:
    if len(values) > limit:
        yield Violation(path, f"must have at most {limit} entries")
