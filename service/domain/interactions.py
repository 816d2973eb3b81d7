"""Interactions: what users do with items."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class InteractionType(StrEnum):
    """What a user did with an item."""

    VIEW = "VIEW"
    CLICK = "CLICK"
    LIKE = "LIKE"
    PURCHASE = "PURCHASE"
    SHARE = "SHARE"
    DISLIKE = "DISLIKE"
    SKIP = "SKIP"


class InteractionKey(NamedTuple):
    """The order of interactions: by user, and of each user by time. No two have the same key.

    `time_us` is in microseconds since 1970 UTC. `interaction_id` is empty if the caller gave none.
    """

    user_id: str
    time_us: int
    item_id: str
    type: str
    interaction_id: str = ""


class Interaction(NamedTuple):
    """An interaction; `value` is a number that only the caller understands.

    `recommendation_id` is that of the response that led to the interaction, or empty.
    """

    key: InteractionKey
    value: float | None = None
    recommendation_id: str = ""
