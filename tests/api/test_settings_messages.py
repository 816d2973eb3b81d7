"""Requests that create and change catalogs with settings, as their servicer reads them."""

import math
from typing import Any

import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf import field_mask_pb2

from service import errors
from service.api.messages.catalog_settings import parse_update_catalog, settings_message
from service.api.messages.catalogs import parse_create_catalog
from service.domain.catalog_settings import (
    DEFAULT_SETTINGS,
    CatalogSettings,
    Prior,
    RankingMode,
    SettingsField,
    SignalMode,
)

WEIGHTS = "settings.interaction_weights"
ALL_FIELDS = [field.value for field in SettingsField]


def update(*paths: str, catalog: str = "shop", **settings: Any) -> pb.UpdateCatalogRequest:
    return pb.UpdateCatalogRequest(
        catalog=catalog,
        settings=pb.CatalogSettings(**settings),
        update_mask=field_mask_pb2.FieldMask(paths=paths),
    )


def invalid_fields(request: pb.UpdateCatalogRequest) -> list[str]:
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_update_catalog(request)
    return [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("paths", [(), ("*",), ("",), ("settings",), ("signals", "name")])
def test_a_mask_without_a_setting_or_with_another_path_is_refused(paths: tuple[str, ...]) -> None:
    """A mask must name settings and nothing else, also not all of them with a star."""
    assert ["update_mask"] == invalid_fields(update(*paths))


@pytest.mark.parametrize("path", ["interaction_weights.LIKE", "signals.", "new_item_boost "])
def test_a_mask_names_whole_settings(path: str) -> None:
    """A path below a setting is refused."""
    assert ["update_mask"] == invalid_fields(update(path))


def test_settings_outside_of_the_mask_are_ignored() -> None:
    """Invalid values are reported for the settings in the mask, all of them and no others."""
    invalid: dict[str, Any] = {
        "signals": 9,
        "interaction_weights": {"LIKE": math.nan, "like": 1.0},
        "new_item_boost": -1.0,
        "ranking": 9,
        "prior": pb.AttributePrior(attribute="r" * 1_025, weight=1.5),
    }
    fields = {
        "signals": ["settings.signals"],
        "interaction_weights": [f'{WEIGHTS}["LIKE"]', f'{WEIGHTS}["like"]'],
        "new_item_boost": ["settings.new_item_boost"],
        "ranking": ["settings.ranking"],
        "prior": ["settings.prior.attribute", "settings.prior.weight"],
    }
    for path, expected in fields.items():
        assert expected == invalid_fields(update(path, **invalid))
    every = {field for expected in fields.values() for field in expected}
    assert every == set(invalid_fields(update(*ALL_FIELDS, **invalid)))
    assert {"catalog", *every} == set(invalid_fields(update(*ALL_FIELDS, catalog="A", **invalid)))
    request = pb.CreateCatalogRequest(catalog="", settings=pb.CatalogSettings(**invalid))
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_create_catalog(request)
    assert {"catalog", *every} == {violation.field for violation in caught.value.violations}


def test_a_setting_in_the_mask_without_a_value_gets_its_default() -> None:
    """An update without values resets what its mask names; an empty name is the default catalog."""
    parsed = parse_update_catalog(update(*ALL_FIELDS, *ALL_FIELDS, catalog=""))
    assert ("default", DEFAULT_SETTINGS) == (parsed.name, parsed.settings)
    assert tuple(SettingsField) == parsed.fields
    created = parse_create_catalog(pb.CreateCatalogRequest(catalog="new"))
    assert DEFAULT_SETTINGS == created.settings


@pytest.mark.parametrize("mode", SignalMode)
def test_settings_are_shown_as_they_were_set(mode: SignalMode) -> None:
    """Every mode can be set and is returned, with the weights of all types."""
    settings = CatalogSettings(
        mode, {"SAVE": 0.5, "LIKE": -2.0}, 1.5, RankingMode.MEAN, Prior("rating", -0.25)
    )
    message = settings_message(settings)
    assert {"VIEW", "CLICK", "LIKE", "PURCHASE", "SHARE", "DISLIKE", "SKIP", "SAVE"} == set(
        message.interaction_weights
    )
    request = update(*ALL_FIELDS)
    request.settings.CopyFrom(message)
    parsed = parse_update_catalog(request)
    assert (mode, 1.5) == (parsed.settings.signals, parsed.settings.new_item_boost)
    assert parsed.settings.all_weights == pytest.approx(settings.all_weights)
    request.settings.interaction_weights.clear()
    request.settings.interaction_weights.update(settings.interaction_weights)
    assert settings == parse_update_catalog(request).settings


@pytest.mark.parametrize("ranking", RankingMode)
def test_rankings_are_shown_as_they_were_set(ranking: RankingMode) -> None:
    """Every ranking can be set and is returned."""
    message = settings_message(CatalogSettings(ranking=ranking))
    parsed = parse_update_catalog(update("ranking", ranking=message.ranking))
    assert ranking is parsed.settings.ranking


@pytest.mark.parametrize("prior", [None, Prior(""), Prior("rating"), Prior("a.b", 0.0)])
def test_priors_are_shown_as_they_were_set(prior: Prior | None) -> None:
    """No prior of its own, no prior at all, and a prior with a weight are different."""
    message = settings_message(CatalogSettings(prior=prior))
    assert (prior is not None) == message.HasField("prior")
    request = pb.UpdateCatalogRequest(settings=message)
    request.update_mask.paths.append("prior")
    parsed = parse_update_catalog(request).settings.prior
    assert (prior and prior.attribute) == (parsed and parsed.attribute)
    assert (prior and pytest.approx(prior.weight)) == (parsed and parsed.weight)


def test_a_prior_has_a_default_weight() -> None:
    """A prior without a weight has the documented one."""
    parsed = parse_update_catalog(update("prior", prior=pb.AttributePrior(attribute="rating")))
    assert Prior("rating", 0.2) == parsed.settings.prior
