"""Between the messages of catalog settings and domain values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from akin.v1 import catalog_service_pb2 as pb

from service import errors
from service.domain.catalog_settings import (
    DEFAULT_PRIOR_WEIGHT,
    CatalogSettings,
    Prior,
    RankingMode,
    SettingsField,
    SignalMode,
    settings_violations,
)
from service.domain.generations import DEFAULT_CATALOG
from service.domain.validation import write_violations
from service.domain.violations import Violation

_SIGNALS: dict[SignalMode, pb.SignalMode.ValueType] = {
    SignalMode.SERVER: pb.SIGNAL_MODE_UNSPECIFIED,
    SignalMode.AUTO: pb.SIGNAL_MODE_AUTO,
    SignalMode.TEXT: pb.SIGNAL_MODE_TEXT,
    SignalMode.BEHAVIOR: pb.SIGNAL_MODE_BEHAVIOR,
}
_RANKINGS: dict[RankingMode, pb.Ranking.ValueType] = {
    RankingMode.SERVER: pb.RANKING_UNSPECIFIED,
    RankingMode.POOLED: pb.RANKING_POOLED,
    RankingMode.NEAREST: pb.RANKING_NEAREST,
    RankingMode.MEAN: pb.RANKING_MEAN,
}


@dataclass(frozen=True, slots=True)
class SettingsUpdate:
    """The settings of a catalog to change: those of `fields`."""

    name: str
    settings: CatalogSettings
    fields: Collection[SettingsField]


def parse_update_catalog(request: pb.UpdateCatalogRequest) -> SettingsUpdate:
    """Return the settings to change. Those outside of the update mask are not read.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*write_violations(request.catalog)]
    paths = set(request.update_mask.paths)
    fields = tuple(field for field in SettingsField if field.value in paths)
    if not paths or paths - set(fields):
        rule = f"must have one or more of the paths {', '.join(SettingsField)}, and no other"
        violations.append(Violation("update_mask", rule))
    settings = read_settings(request.settings, fields, violations)
    if violations:
        raise errors.InvalidRequest(violations)
    return SettingsUpdate(request.catalog or DEFAULT_CATALOG, settings, fields)


def read_settings(
    message: pb.CatalogSettings, fields: Collection[SettingsField], violations: list[Violation]
) -> CatalogSettings:
    """Return the settings of a message; invalid ones of `fields` are added to `violations`."""
    modes = {number: mode for mode, number in _SIGNALS.items()}
    signals = modes.get(message.signals)
    if signals is None and SettingsField.SIGNALS in fields:
        violations.append(Violation("settings.signals", "must be a value of SignalMode"))
    rankings = {number: ranking for ranking, number in _RANKINGS.items()}
    ranking = rankings.get(message.ranking)
    if ranking is None and SettingsField.RANKING in fields:
        violations.append(Violation("settings.ranking", "must be a value of Ranking"))
    settings = CatalogSettings(
        signals or SignalMode.SERVER,
        dict(message.interaction_weights),
        message.new_item_boost,
        ranking or RankingMode.SERVER,
        _read_prior(message),
    )
    violations += settings_violations(settings, fields)
    return settings


def _read_prior(message: pb.CatalogSettings) -> Prior | None:
    if not message.HasField("prior"):
        return None
    prior = message.prior
    weight = prior.weight if prior.HasField("weight") else DEFAULT_PRIOR_WEIGHT
    return Prior(prior.attribute, weight)


def settings_message(settings: CatalogSettings) -> pb.CatalogSettings:
    """Return the message of settings, with the weights of all types."""
    message = pb.CatalogSettings(
        signals=_SIGNALS[settings.signals],
        interaction_weights=settings.all_weights,
        new_item_boost=settings.new_item_boost,
        ranking=_RANKINGS[settings.ranking],
    )
    if settings.prior is not None:
        prior = settings.prior
        message.prior.CopyFrom(pb.AttributePrior(attribute=prior.attribute, weight=prior.weight))
    return message
