"""The settings of a catalog: how it recommends, and how it learns from interactions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from service.domain import limits
from service.domain.interactions import InteractionType
from service.domain.violations import Violation

DEFAULT_TYPE_WEIGHTS: Mapping[str, float] = MappingProxyType(
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

_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")

# The most characters of a type in the path of a violation; a valid type has as many.
_PATH_CHARACTERS = 32


class SignalMode(StrEnum):
    """What recommendations for users and examples are based on."""

    SERVER = "server"
    AUTO = "auto"
    TEXT = "text"
    BEHAVIOR = "behavior"


class RankingMode(StrEnum):
    """How the similarities to several sources become one score."""

    SERVER = "server"
    POOLED = "pooled"
    NEAREST = "nearest"
    MEAN = "mean"


# The score difference between the highest and the lowest item by the attribute of a prior.
DEFAULT_PRIOR_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Prior:
    """A numeric attribute that changes scores; an empty one changes none.

    `weight` is the score difference between the highest and the lowest item.
    """

    attribute: str
    weight: float = DEFAULT_PRIOR_WEIGHT


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """How a catalog recommends, and how it learns from interactions.

    Attributes:
        signals: SERVER for the mode of the server's settings.
        interaction_weights: by type, only those that the catalog sets: above 0 for a like, below 0
            for a dislike.
        new_item_boost: how early new items come: 0 for no place of their own, 2 for that by text.
        ranking: SERVER for the ranking of the server's settings.
        prior: None for that of the server's settings.
    """

    signals: SignalMode = SignalMode.SERVER
    interaction_weights: Mapping[str, float] = field(default_factory=dict)
    new_item_boost: float = 0.0
    ranking: RankingMode = RankingMode.SERVER
    prior: Prior | None = None

    @property
    def all_weights(self) -> Mapping[str, float]:
        """The weights of all types, by type."""
        return {**DEFAULT_TYPE_WEIGHTS, **self.interaction_weights}

    @property
    def liked_types(self) -> frozenset[str]:
        """The types with a weight above 0."""
        return frozenset(type_ for type_, weight in self.all_weights.items() if weight > 0)


DEFAULT_SETTINGS = CatalogSettings()


class SettingsField(StrEnum):
    """A setting that an update can change."""

    SIGNALS = "signals"
    INTERACTION_WEIGHTS = "interaction_weights"
    NEW_ITEM_BOOST = "new_item_boost"
    RANKING = "ranking"
    PRIOR = "prior"


def resolve_signals(server: SignalMode, catalog: SignalMode) -> SignalMode:
    """Return the mode of a catalog: its own one, or by default that of the server."""
    return server if catalog is SignalMode.SERVER else catalog


def resolve_ranking(server: RankingMode, catalog: RankingMode) -> RankingMode:
    """Return the ranking of a catalog: its own one, or by default that of the server."""
    return server if catalog is RankingMode.SERVER else catalog


def settings_violations(
    settings: CatalogSettings, fields: Collection[SettingsField] = tuple(SettingsField)
) -> Iterator[Violation]:
    """Validate the settings of a catalog, or only some of them."""
    if SettingsField.INTERACTION_WEIGHTS in fields:
        yield from _weights_violations(settings.interaction_weights)
    if SettingsField.NEW_ITEM_BOOST in fields and not (
        0 <= settings.new_item_boost <= limits.NEW_ITEM_BOOST  # also false of NaN
    ):
        rule = f"must be between 0 and {limits.NEW_ITEM_BOOST:g}"
        yield Violation("settings.new_item_boost", rule)
    if SettingsField.PRIOR in fields and settings.prior is not None:
        yield from _prior_violations(settings.prior)


def _prior_violations(prior: Prior) -> Iterator[Violation]:
    if len(prior.attribute.encode()) > limits.FILTER_ATTRIBUTE_BYTES:
        rule = f"must be at most {limits.FILTER_ATTRIBUTE_BYTES} bytes of UTF-8"
        yield Violation("settings.prior.attribute", rule)
    if not abs(prior.weight) <= limits.PRIOR_WEIGHT:  # also true of NaN
        rule = f"must be between {-limits.PRIOR_WEIGHT:g} and {limits.PRIOR_WEIGHT:g}"
        yield Violation("settings.prior.weight", rule)


def _weights_violations(weights: Mapping[str, float]) -> Iterator[Violation]:
    # All types count, so that the weights of a response are a valid request.
    if len(DEFAULT_TYPE_WEIGHTS.keys() | weights.keys()) > limits.INTERACTION_TYPES:
        rule = f"must have at most {limits.INTERACTION_TYPES} types with the built-in ones"
        yield Violation("settings.interaction_weights", rule)
        return
    for type_, weight in sorted(weights.items()):
        path = f"settings.interaction_weights[{json.dumps(type_[:_PATH_CHARACTERS])}]"
        if not _TYPE.fullmatch(type_):
            rule = "must be a type of 1 to 32 characters of [A-Z0-9_] that starts with a letter"
            yield Violation(path, rule)
        if not abs(weight) <= limits.WEIGHT:  # also true of NaN
            yield Violation(path, f"must be between {-limits.WEIGHT:g} and {limits.WEIGHT:g}")
