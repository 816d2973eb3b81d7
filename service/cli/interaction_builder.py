"""Builds the messages of interactions from rows, whose columns are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import akin

from service.cli.cell_types import is_exact_number
from service.cli.formats.rows import LineError
from service.cli.interaction_fields import InteractionColumns
from service.cli.interaction_times import parse_time_us
from service.cli.interaction_types import EventNames, RatingRule, TypeLister, list_no_types

_US_PER_SECOND = 1_000_000
_NS_PER_US = 1_000

# Different ratings, prices and play counts that are parsed once.
_PARSED_NUMBERS = 4_096


@dataclass(frozen=True)
class InteractionOptions:
    """The options for interactions.

    Attributes:
        is_forced: every row is an interaction.
        columns: the column of a field.
        default_type: type of rows without one; empty if ratings determine it.
        event_types: types of names of events.
        like_from: the lowest rating of a like; None for that of ratings up to five.
        dislike_below: ratings below it are dislikes; None for the default of the scale.
        ignore_unknown: ignore fields of JSON objects that interactions lack.
        list_types: returns the types of the catalog.
    """

    is_forced: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    default_type: str = ""
    event_types: Mapping[str, str] = field(default_factory=dict)
    like_from: float | None = None
    dislike_below: float | None = None
    ignore_unknown: bool = False
    list_types: TypeLister = list_no_types

    def is_set(self) -> bool:
        """Is there an option that only makes sense for interactions?"""
        has_rule = self.like_from is not None or self.dislike_below is not None
        return bool(self.is_forced or self.default_type or self.event_types or has_rule)


class InteractionBuilder:
    """Builds interactions.

    Attributes:
        rule: the rule for values without a type; None if there is none.
    """

    def __init__(self, options: InteractionOptions) -> None:
        self.rule: RatingRule | None = None
        if options.like_from is not None:
            self.rule = RatingRule(options.like_from, options.dislike_below)
        self._default_type = options.default_type
        self._event_names = EventNames(options.event_types, options.list_types)

    def needs_rule(self, columns: InteractionColumns) -> bool:
        """Do the types of rows with these columns depend on a rule that is not known yet?"""
        return self.rule is None and not self._default_type and columns.type is None

    def build(
        self, row: Mapping[Any, object], columns: InteractionColumns, position: int
    ) -> akin.Interaction:
        """Return the interaction of a row.

        Args:
            row: the values by column, strings or JSON values.
            columns: the columns of the fields.
            position: the position of the row in the file, from 1. It is the time in microseconds
                since 1970 of a row without a time.

        Raises:
            LineError: a value is missing or invalid.
        """
        value = parse_value(row.get(columns.value))
        time = row.get(columns.time)
        time_us = position if time is None or time == "" else parse_time_us(time)
        interaction = akin.Interaction(
            user_id=_require_id(row.get(columns.user_id), "user_id"),
            item_id=_require_id(row.get(columns.item_id), "item_id"),
            type=self._choose_type(row.get(columns.type), value),
            value=value,
        )
        timestamp = interaction.time
        timestamp.seconds, rest_us = divmod(time_us, _US_PER_SECOND)
        timestamp.nanos = rest_us * _NS_PER_US
        if columns.interaction_id is not None:
            interaction.interaction_id = _parse_id(
                row.get(columns.interaction_id), "interaction_id"
            )
        if columns.recommendation_id is not None:
            interaction.recommendation_id = _parse_id(
                row.get(columns.recommendation_id), "recommendation_id"
            )
        return interaction

    def _choose_type(self, name: object, value: float | None) -> str:
        if name is not None and name != "":
            return self._event_names.get_type(_parse_id(name, "type"))
        if self._default_type:
            return self._default_type
        if value is None:
            raise LineError(
                "type: is required, or a rating; --type records rows without them as one type"
            )
        if self.rule is None:
            raise LineError(
                "type: is required; choose which values are likes with --like-from NUMBER, or one "
                "type for rows without a type with --type"
            )
        return self.rule.get_type(value)


def parse_value(value: object) -> float | None:
    """Return the number of an interaction; None if it is unset.

    Raises:
        LineError: the value is not a number, or a double cannot hold it exactly.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _parse_number(value.strip())
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise LineError("value: must be a number")
    return _parse_number(str(value)) if isinstance(value, int) else value


@lru_cache(_PARSED_NUMBERS)
def _parse_number(text: str) -> float:
    if not is_exact_number(text):
        raise LineError(
            "value: must be a number that can be stored exactly, with a decimal point, such as 4.5"
        )
    return float(text)


def _require_id(value: object, name: str) -> str:
    # The fast path for tables of text.
    if isinstance(value, str) and value:
        return value
    if not (text := _parse_id(value, name)):
        raise LineError(f"{name}: is required")
    return text


def _parse_id(value: object, name: str) -> str:
    """Return a string or an integer as text; empty if it is unset."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise LineError(f"{name}: must be a string or an integer")
    return str(value)
