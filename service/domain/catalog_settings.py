"""The settings of a catalog: how it learns from interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from service.domain.interactions import InteractionType

DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        InteractionType.VIEW: 0.2,
        InteractionType.CLICK: 0.4,
        InteractionType.LIKE: 1.0,
        InteractionType.PURCHASE: 1.0,
        InteractionType.SHARE: 1.0,
        InteractionType.DISLIKE: -1.0,
        InteractionType.SKIP: -0.2,
    }
)


class SignalMode(StrEnum):
    """What recommendations for users and examples are based on."""

    SERVER = "server"
    AUTO = "auto"
    TEXT = "text"
    BEHAVIOR = "behavior"


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """How a catalog learns from interactions.

    Attributes:
        signals: SERVER for the mode of the server's settings.
        interaction_weights: by type, only those that the catalog sets: above 0 for a like, below 0
            for a dislike.
        new_item_boost: how much new items benefit from items with similar texts.
    """

    signals: SignalMode = SignalMode.SERVER
    interaction_weights: Mapping[str, float] = field(default_factory=dict)
    new_item_boost: float = 0.0

    @property
    def all_weights(self) -> Mapping[str, float]:
        """The weights of all types, by type."""
        return {**DEFAULT_WEIGHTS, **self.interaction_weights}
