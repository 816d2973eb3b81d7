import math

import pytest

from service.domain.catalog_settings import (
    DEFAULT_SETTINGS,
    CatalogSettings,
    Prior,
    RankingMode,
    SettingsField,
    SignalMode,
    resolve_ranking,
    resolve_signals,
    settings_violations,
)
from service.domain.interactions import InteractionType

WEIGHTS = "settings.interaction_weights"


def invalid_fields(settings: CatalogSettings) -> list[str]:
    return [violation.field for violation in settings_violations(settings)]


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"LIKE": 0.0},
        {"A": 1000.0, "Z9_" + "X" * 29: -1000.0},
        {f"T{number}": 1.0 for number in range(25)},
        {**DEFAULT_SETTINGS.all_weights, **{f"T{number}": 1.0 for number in range(25)}},
    ],
)
def test_weights_up_to_the_limits_pass(weights: dict[str, float]) -> None:
    """Up to 32 types, the 7 built-in ones included, can have weights between -1000 and 1000."""
    assert [] == invalid_fields(CatalogSettings(interaction_weights=weights))


@pytest.mark.parametrize(
    ("weights", "fields"),
    [
        ({"": 1.0}, [f'{WEIGHTS}[""]']),
        ({"like": 1.0}, [f'{WEIGHTS}["like"]']),
        ({"9LIVES": 1.0}, [f'{WEIGHTS}["9LIVES"]']),
        ({"_A": 1.0}, [f'{WEIGHTS}["_A"]']),
        ({"A B": 1.0}, [f'{WEIGHTS}["A B"]']),
        ({"A\n": 1.0}, [f'{WEIGHTS}["A\\n"]']),
        ({"\u00c9": 1.0}, [f'{WEIGHTS}["\\u00c9"]']),
        ({"X" * 33: 1.0}, [f'{WEIGHTS}["{"X" * 32}"]']),
        ({"VIEW": 1000.5}, [f'{WEIGHTS}["VIEW"]']),
        ({"VIEW": -1000.5, "LIKE": math.inf}, [f'{WEIGHTS}["LIKE"]', f'{WEIGHTS}["VIEW"]']),
        ({"VIEW": math.nan}, [f'{WEIGHTS}["VIEW"]']),
        ({"view": math.nan}, [f'{WEIGHTS}["view"]', f'{WEIGHTS}["view"]']),
        ({f"T{number}": 1.0 for number in range(26)}, [WEIGHTS]),
    ],
)
def test_other_weights_are_refused(weights: dict[str, float], fields: list[str]) -> None:
    """Each type with an invalid name or weight is reported, and more than 32 types once."""
    assert fields == invalid_fields(CatalogSettings(interaction_weights=weights))


@pytest.mark.parametrize("boost", [0.0, 0.5, 10.0])
def test_boosts_up_to_the_limit_pass(boost: float) -> None:
    """A boost between 0 and 10 is accepted."""
    assert [] == invalid_fields(CatalogSettings(new_item_boost=boost))


@pytest.mark.parametrize("boost", [-0.001, 10.001, math.nan, math.inf, -math.inf])
def test_other_boosts_are_refused(boost: float) -> None:
    """A boost outside of 0 to 10, or NaN, is refused."""
    assert ["settings.new_item_boost"] == invalid_fields(CatalogSettings(new_item_boost=boost))


def test_only_the_fields_of_an_update_are_validated() -> None:
    """What an update does not change is not reported."""
    settings = CatalogSettings(interaction_weights={"view": 1.0}, new_item_boost=-1.0)
    for field, fields in (
        (SettingsField.SIGNALS, []),
        (SettingsField.INTERACTION_WEIGHTS, [f'{WEIGHTS}["view"]']),
        (SettingsField.NEW_ITEM_BOOST, ["settings.new_item_boost"]),
    ):
        violations = settings_violations(settings, [field])
        assert fields == [violation.field for violation in violations]


def test_weights_of_a_catalog_replace_the_defaults() -> None:
    """A type without a weight of the catalog has its default, and each built-in type has one."""
    settings = CatalogSettings(interaction_weights={"VIEW": 0.0, "SAVE": 0.5, "SKIP": 0.1})
    assert set(InteractionType) == DEFAULT_SETTINGS.all_weights.keys()
    assert {**DEFAULT_SETTINGS.all_weights, "VIEW": 0.0, "SAVE": 0.5, "SKIP": 0.1} == (
        settings.all_weights
    )
    assert {"CLICK", "LIKE", "PURCHASE", "SHARE", "SAVE", "SKIP"} == settings.liked_types


@pytest.mark.parametrize("server", [SignalMode.AUTO, SignalMode.TEXT, SignalMode.BEHAVIOR])
def test_a_catalog_follows_the_server_unless_it_has_a_mode(server: SignalMode) -> None:
    """The mode of the server counts only for a catalog without one of its own."""
    assert server is resolve_signals(server, SignalMode.SERVER)
    for own in (SignalMode.AUTO, SignalMode.TEXT, SignalMode.BEHAVIOR):
        assert own is resolve_signals(server, own)


@pytest.mark.parametrize("prior", [None, Prior(""), Prior("r" * 1_024, 1.0), Prior("r", -1.0)])
def test_priors_up_to_the_limits_pass(prior: Prior | None) -> None:
    """An attribute of up to 1 KiB and a weight between -1 and 1 are accepted."""
    assert [] == invalid_fields(CatalogSettings(prior=prior))


@pytest.mark.parametrize("weight", [-1.001, 1.001, math.nan, math.inf])
def test_other_priors_are_refused(weight: float) -> None:
    """The attribute and the weight are reported separately."""
    assert ["settings.prior.weight"] == invalid_fields(CatalogSettings(prior=Prior("r", weight)))
    too_long = Prior("\u00e9" * 513, weight)
    fields = ["settings.prior.attribute", "settings.prior.weight"]
    assert fields == invalid_fields(CatalogSettings(prior=too_long))


@pytest.mark.parametrize("ranking", RankingMode)
def test_the_ranking_of_a_catalog_comes_before_that_of_the_server(ranking: RankingMode) -> None:
    """Only a catalog without a ranking of its own has that of the server."""
    expected = RankingMode.MEAN if ranking is RankingMode.SERVER else ranking
    assert expected is resolve_ranking(RankingMode.MEAN, ranking)
