import itertools
import string

import pytest

from service.domain.recommendation_ids import (
    IdentifiedResponse,
    RecommendationIds,
    ResponseKind,
    SignalKind,
    SourceKind,
    find_signal_kind,
    find_source_kind,
)
from service.domain.recommendations import (
    ExamplesSource,
    ItemSource,
    Signals,
    Source,
    TextSource,
    UserSource,
)

IDS = RecommendationIds(7, "a store")
KIND = ResponseKind(7, 20_000, SourceKind.USER, SignalKind.BOTH)
ALPHABET = string.ascii_letters + string.digits + "-_"


@pytest.mark.parametrize(
    ("source", "signals"), [*itertools.product(SourceKind, SignalKind)], ids=lambda kind: kind.value
)
def test_an_id_carries_what_its_response_counts_as(source: SourceKind, signals: SignalKind) -> None:
    """Catalog, day, source and signals come back from an id of at most 40 URL-safe characters."""
    for catalog_id, day in ((0, 0), (7, 20_000), (2**40 - 1, 2**24 - 1)):
        ids = RecommendationIds(catalog_id, "a store")
        kind = ResponseKind(catalog_id, day, source, signals)
        recommendation_id = ids.write(kind)
        assert len(recommendation_id) <= 40
        assert set(recommendation_id) <= set(ALPHABET)
        response = ids.read(recommendation_id)
        assert response is not None
        assert kind == response.kind


@pytest.mark.parametrize("has_recommendations", [True, False])
def test_an_id_says_whether_there_are_recommendations(*, has_recommendations: bool) -> None:
    """It does so for each source and signals, which come back as well."""
    for source, signals in itertools.product(SourceKind, SignalKind):
        kind = ResponseKind(7, 20_000, source, signals)
        response = IDS.read(IDS.write(kind, has_recommendations=has_recommendations))
        assert response is not None
        assert (kind, has_recommendations) == (response.kind, response.has_recommendations)


def test_responses_of_one_kind_have_different_ids() -> None:
    """The ids differ, and so do the numbers in them, which have at least 64 bits."""
    written = {IDS.write(KIND) for _ in range(1_000)}
    numbers = {response.number for response in map(IDS.read, written) if response is not None}
    assert 1_000 == len(written) == len(numbers)
    assert all(len(number) >= 8 for number in numbers)


def test_an_id_of_another_catalog_or_store_is_refused() -> None:
    """Only the catalog of a response reads its id, and only in the same store."""
    recommendation_id = IDS.write(KIND)
    assert None is RecommendationIds(8, "a store").read(recommendation_id)
    assert None is RecommendationIds(7, "another store").read(recommendation_id)
    assert None is not RecommendationIds(7, "a store").read(recommendation_id)


def test_a_changed_id_is_refused() -> None:
    """No character of an id can be replaced, removed, repeated or moved."""
    recommendation_id = IDS.write(KIND)
    changed = {recommendation_id[::-1], recommendation_id + "A", " " + recommendation_id}
    for position, character in enumerate(recommendation_id):
        before, after = recommendation_id[:position], recommendation_id[position + 1 :]
        changed |= {before + other + after for other in ALPHABET if other != character}
        changed |= {before + after, before + 2 * character + after}
    assert [] == [other for other in changed if IDS.read(other) is not None]


@pytest.mark.parametrize(
    "text",
    ["", *(character * 32 for character in "A_=+\0é"), "A" * 30 + "==", "A" * 31 + "=", "A" * 40],
    ids=ascii,
)
def test_a_made_up_id_is_refused(text: str) -> None:
    """A string that no response had is no id, whatever its length and characters."""
    assert None is IDS.read(text)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (ItemSource("a"), SourceKind.ITEM),
        (UserSource("u"), SourceKind.USER),
        (TextSource("t"), SourceKind.TEXT),
        (ExamplesSource(), SourceKind.EXAMPLES),
    ],
)
def test_each_source_has_a_kind(source: Source, kind: SourceKind) -> None:
    """Responses count by the kind of their source."""
    assert kind is find_source_kind(source)


@pytest.mark.parametrize(
    ("signals", "kind"),
    [
        (Signals(1.0, 0.0), SignalKind.TEXT),
        (Signals(0.0, 1.0, 5), SignalKind.BEHAVIOR),
        (Signals(0.999, 0.001, 5), SignalKind.BOTH),
    ],
)
def test_responses_count_by_the_signals_with_a_weight(signals: Signals, kind: SignalKind) -> None:
    """A response counts as both only if text and behavior have a weight."""
    assert kind is find_signal_kind(signals)


def test_an_identified_response_is_the_same_each_time() -> None:
    """Reading an id twice gives the same response, by which a click is counted once."""
    recommendation_id = IDS.write(KIND)
    first, second = IDS.read(recommendation_id), IDS.read(recommendation_id)
    assert isinstance(first, IdentifiedResponse)
    assert first == second
