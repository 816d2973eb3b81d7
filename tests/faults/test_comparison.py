from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from faults.comparison import compare
from faults.model import (
    INTERACTION,
    Attempt,
    CatalogContent,
    Content,
    Group,
    Key,
    Model,
    Observation,
    Version,
)

CATALOG = CatalogContent("{text}")
NEW = CatalogContent("new {text}")
KEY, OTHER = Key("default", "item", "a"), Key("default", "item", "b")
OLD, CURRENT, LATER = Content("old"), Content("current"), Content("later")
NOW_US = 1_000_000_000


def stored(key: Key, content: Content | None, sequence: int, model: Model) -> None:
    """Writes a state to the model, acknowledged."""
    group = Group(sequence, "UpsertItem", (Attempt(key, content),), 0)
    model.begin(group)
    assert [] == model.store(sequence, [sequence])


def make_model(*open_attempts: Attempt, is_atomic: bool = True) -> Model:
    """The item "a" in its second state, and an open group of attempts."""
    model = Model(catalogs={"default": CATALOG})
    stored(KEY, OLD, 1, model)
    stored(KEY, CURRENT, 2, model)
    if open_attempts:
        model.begin(Group(100, "ImportItems", open_attempts, 2, is_atomic))
    return model


def observe(
    versions: Mapping[Key, Version], catalogs: Mapping[str, CatalogContent] | None = None
) -> Observation:
    return Observation(
        dict(versions),
        {"default": CATALOG} if catalogs is None else dict(catalogs),
        last_sequence=9,
        earliest_us=NOW_US,
        latest_us=NOW_US,
    )


def kinds(model: Model, observed: Observation) -> set[str]:
    return {violation.kind for violation in compare(model, observed)}


def test_the_acknowledged_state_is_right() -> None:
    """The state that was acknowledged last breaks no promise."""
    assert set() == kinds(make_model(), observe({KEY: Version(CURRENT, 2)}))


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        (None, "lost"),
        (Version(OLD, 1), "lost"),
        (Version(CURRENT, 3), "wrong"),
        (Version(LATER, 3), "wrong"),
        (Version(OLD, 2), "wrong"),
    ],
)
def test_any_other_state_is_a_violation(version: Version | None, kind: str) -> None:
    """A missing, older or unknown state is reported."""
    assert {kind} == kinds(make_model(), observe({} if version is None else {KEY: version}))


def test_a_deleted_item_that_is_back_is_doubled() -> None:
    """An item that is there after its acknowledged deletion is reported."""
    model = make_model()
    stored(KEY, None, 3, model)
    assert set() == kinds(model, observe({}))
    assert {"doubled"} == kinds(model, observe({KEY: Version(CURRENT, 2)}))


def test_a_deletion_that_found_nothing_may_be_older_than_a_write() -> None:
    """An acknowledged deletion without a sequence number does not hide a state."""
    model = make_model()
    model.begin(Group(100, "DeleteItem", (Attempt(KEY, None),), 0))
    assert [] == model.store(100, [0])
    assert set() == kinds(model, observe({KEY: Version(CURRENT, 2)}))
    assert {"lost"} == kinds(model, observe({}))


@pytest.mark.parametrize("version", [Version(CURRENT, 2), Version(LATER, 5)])
def test_an_open_request_may_have_been_stored_or_not(version: Version) -> None:
    """Both states are right, and what was seen is certain from then on."""
    model = make_model(Attempt(KEY, LATER))
    observed = observe({KEY: version})
    assert set() == kinds(model, observed)
    model.settle(observed, has_restarted=True)
    others = {Version(CURRENT, 2), Version(LATER, 5)} - {version}
    assert all(kinds(model, observe({KEY: other})) for other in others)


def test_a_running_server_may_still_store_an_open_request() -> None:
    """What was not seen stays open while the server runs, and is certain after its end."""
    before, after = observe({KEY: Version(CURRENT, 2)}), observe({KEY: Version(LATER, 5)})
    for has_restarted, expected in ((False, set()), (True, {"wrong"})):
        model = make_model(Attempt(KEY, LATER))
        model.settle(before, has_restarted=has_restarted)
        assert expected == kinds(model, after)
    model = make_model(Attempt(KEY, LATER))
    model.settle(after, has_restarted=False)
    assert {"lost"} == kinds(model, before)


def test_an_open_request_does_not_excuse_a_loss() -> None:
    """With an open write, neither an older state nor no state is right."""
    model = make_model(Attempt(KEY, LATER))
    assert {"lost"} == kinds(model, observe({}))
    assert {"lost"} == kinds(model, observe({KEY: Version(OLD, 1)}))


def test_a_refused_request_was_not_stored() -> None:
    """The state of a request that failed is reported."""
    model = make_model(Attempt(KEY, LATER))
    model.refuse(100)
    assert {"wrong"} == kinds(model, observe({KEY: Version(LATER, 5)}))


@pytest.mark.parametrize(("is_atomic", "expected"), [(True, {"wrong"}), (False, set())])
def test_half_a_message_is_reported(is_atomic: bool, expected: set[str]) -> None:
    """Of an atomic group, either all attempts take effect or none."""
    model = make_model(Attempt(KEY, LATER), Attempt(OTHER, LATER), is_atomic=is_atomic)
    assert expected == kinds(model, observe({KEY: Version(LATER, 5)}))
    assert set() == kinds(model, observe({KEY: Version(CURRENT, 2)}))
    assert set() == kinds(model, observe({KEY: Version(LATER, 5), OTHER: Version(LATER, 6)}))


def test_expiry_is_by_the_clock_of_the_observation() -> None:
    """An expired item may be missing and must not be there; others must be there."""
    model = Model(catalogs={"default": CATALOG})
    past, future = Content("past", NOW_US // 2), Content("future", NOW_US * 2)
    stored(KEY, past, 1, model)
    stored(OTHER, future, 2, model)
    assert set() == kinds(model, observe({OTHER: Version(future, 2)}))
    everything = {KEY: Version(past, 1), OTHER: Version(future, 2)}
    assert {"doubled"} == kinds(model, observe(everything))
    assert {"lost"} == kinds(model, observe({}))


def test_a_clock_that_is_set_back_makes_items_valid_again() -> None:
    """An expired item that was missing may be there when the clock is before its expiry again."""
    model = Model(catalogs={"default": CATALOG})
    expiring = Content("expiring", NOW_US)
    stored(KEY, expiring, 1, model)
    later = observe({})
    later.earliest_us = later.latest_us = NOW_US * 2
    assert set() == kinds(model, later)
    model.settle(later, has_restarted=True)
    earlier = observe({KEY: Version(expiring, 1)})
    earlier.earliest_us = NOW_US // 2
    assert set() == kinds(model, earlier)


def test_a_batch_may_spare_an_item_that_had_expired() -> None:
    """An acknowledged deletion of many items may have found one expired, and not deleted it."""
    model = Model(catalogs={"default": CATALOG})
    expiring = Content("expiring", NOW_US * 2)
    stored(KEY, expiring, 1, model)
    stored(OTHER, CURRENT, 2, model)
    attempts = (Attempt(KEY, None), Attempt(OTHER, None))
    model.begin(Group(100, "BatchDeleteItems", attempts, 2))
    assert [] == model.store(100, [3, 3])
    assert set() == kinds(model, observe({}))
    assert set() == kinds(model, observe({KEY: Version(expiring, 1)}))
    assert {"doubled"} == kinds(model, observe({OTHER: Version(CURRENT, 2)}))


def test_sequence_numbers_are_given_once() -> None:
    """A number that two states have, or that is beyond the last one, is reported."""
    model = make_model()
    stored(OTHER, CURRENT, 3, model)
    both = {KEY: Version(CURRENT, 3), OTHER: Version(CURRENT, 3)}
    assert "doubled" in kinds(model, observe(both))
    beyond = {KEY: Version(CURRENT, 2), OTHER: Version(CURRENT, 3)}
    observed = observe(beyond)
    observed.last_sequence = 2
    assert {"wrong", "lost"} == kinds(model, observed)


def test_a_sequence_number_that_was_acknowledged_before_is_reported() -> None:
    """A second acknowledgement with a used number, or a smaller one, is reported at once."""
    model = make_model()
    for number, (floor, sequence) in enumerate([(1, 2), (5, 4)]):
        model.begin(Group(200 + number, "UpsertItem", (Attempt(OTHER, LATER),), floor))
        (violation,) = model.store(200 + number, [sequence])
        assert "doubled" == violation.kind


def test_an_item_that_is_twice_in_a_list_is_reported() -> None:
    """A list with an item twice is a violation."""
    observed = observe({KEY: Version(CURRENT, 2)})
    observed.add(KEY, Version(CURRENT, 2))
    assert {"doubled"} == kinds(make_model(), observed)


def test_a_deleted_catalog_takes_its_items_along() -> None:
    """An open deletion of a catalog may have removed it with all items; a refused one has not."""
    key = Key("default", "", "")
    gone = observe({}, catalogs={})
    assert {"lost"} == kinds(make_model(), gone)
    model = make_model(Attempt(key, None))
    assert set() == kinds(model, gone)
    assert set() == kinds(model, observe({KEY: Version(CURRENT, 2)}))
    model.store(100, [0])
    assert set() == kinds(model, gone)
    assert "doubled" in kinds(model, observe({KEY: Version(CURRENT, 2)}))


def test_a_lost_setting_is_wrong() -> None:
    """An acknowledged setting stays, also after a switch, and another one is wrong."""
    model = make_model()
    versions = {KEY: Version(CURRENT, 2)}
    key = Key("default", "", "")
    boosted = CatalogContent("{text}", next="new {text}", boost=2.0)
    model.begin(Group(100, "UpdateCatalog", (Attempt(key, boosted),), 0))
    model.store(100, [0])
    switched = CatalogContent("new {text}", previous="{text}", boost=2.0)
    for state, expected in (
        (boosted, set()),
        (switched, set()),
        (replace(boosted, boost=0.0), {"wrong"}),
        (replace(switched, boost=0.0), {"wrong"}),
    ):
        assert expected == kinds(model, observe(versions, {"default": state}))


def test_a_catalog_switches_by_itself_and_only_forward() -> None:
    """A catalog that is being re-embedded may have switched, but not back to what it was before."""
    model = make_model()
    versions = {KEY: Version(CURRENT, 2)}
    embedding = CatalogContent("{text}", next="new {text}")
    model.catalogs["default"] = embedding
    switched = CatalogContent("new {text}", previous="{text}")
    for state, expected in ((embedding, set()), (switched, set()), (CATALOG, {"wrong"})):
        assert expected == kinds(model, observe(versions, {"default": state}))
    model.catalogs["default"] = switched
    assert {"wrong"} == kinds(model, observe(versions, {"default": embedding}))
    assert {"wrong"} == kinds(model, observe(versions, {"default": NEW}))


LIKE, OTHER_LIKE = Key("default", INTERACTION, "u 1 a LIKE"), Key("default", INTERACTION, "u 2 b")
VALUE = Content('{"value": null}')
UNNUMBERED = Version(VALUE, 0)


def make_interactions(*open_attempts: Attempt) -> Model:
    """One interaction that was recorded and one that was deleted, and an open group."""
    model = Model(catalogs={"default": CATALOG})
    for number, content in ((1, VALUE), (2, None)):
        attempts = (Attempt(OTHER_LIKE, content), *[Attempt(LIKE, VALUE)] * (number == 1))
        model.begin(Group(number, "RecordInteractions", attempts, 0))
        assert [] == model.store(number, [number] * len(attempts))
    if open_attempts:
        model.begin(Group(100, "RecordInteractions", open_attempts, 2))
    return model


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({LIKE: UNNUMBERED}, set()),
        ({}, {"lost"}),
        ({LIKE: UNNUMBERED, OTHER_LIKE: UNNUMBERED}, {"doubled"}),
        ({LIKE: Version(Content("other"), 0)}, {"wrong"}),
        ({LIKE: UNNUMBERED, Key("default", INTERACTION, "x"): UNNUMBERED}, {"doubled"}),
    ],
)
def test_interactions_are_compared_without_sequence_numbers(
    versions: dict[Key, Version], expected: set[str]
) -> None:
    """A missing interaction is lost, and one that is deleted or was never sent is doubled."""
    assert expected == kinds(make_interactions(), observe(versions))


def test_a_duplicate_acknowledges_an_interaction() -> None:
    """An interaction that was acknowledged as a duplicate must be there."""
    model = make_interactions()
    model.begin(Group(100, "RecordInteractions", (Attempt(OTHER_LIKE, VALUE),), 2))
    assert [] == model.store(100, [0])
    assert {"lost"} == kinds(model, observe({LIKE: UNNUMBERED}))
    assert set() == kinds(model, observe({LIKE: UNNUMBERED, OTHER_LIKE: UNNUMBERED}))


def test_half_a_recording_is_reported() -> None:
    """Of an open recording, either all new interactions are there or none."""
    third = Key("default", INTERACTION, "u 3 c")
    attempts = [Attempt(key, VALUE) for key in (LIKE, OTHER_LIKE, third)]
    model = make_interactions(*attempts)
    assert set() == kinds(model, observe({LIKE: UNNUMBERED}))
    assert set() == kinds(model, observe(dict.fromkeys((LIKE, OTHER_LIKE, third), UNNUMBERED)))
    assert {"wrong"} == kinds(model, observe({LIKE: UNNUMBERED, third: UNNUMBERED}))


def test_an_open_recording_stays_open_while_the_server_runs() -> None:
    """What an open recording may record is certain only after the end of its server."""
    for has_restarted, expected in ((False, set()), (True, {"doubled"})):
        model = make_interactions(Attempt(OTHER_LIKE, VALUE))
        model.settle(observe({LIKE: UNNUMBERED}), has_restarted=has_restarted)
        later = observe({LIKE: UNNUMBERED, OTHER_LIKE: UNNUMBERED})
        assert expected == kinds(model, later)
