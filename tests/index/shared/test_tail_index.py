"""The tail: exactly what has changed after its start, and nothing that the engine has."""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.clock import START_US, FakeClock
from support.engine_collections import DIMENSIONS, draw_units
from support.filters import passes, random_attributes, random_filter

from service.domain.filters import Filter
from service.domain.items import Change, JsonValue
from service.index.columns import hash_value
from service.index.read_requests import NearestRequest, Restriction
from service.index.shared.tail_index import MAX_TAIL_CHANGES, TailIndex

IDS = [f"i{number:02}" for number in range(30)]
GROUPS: tuple[JsonValue, ...] = ("red", "blue", 1.0, True)


def create_tail(start: int = 0, max_changes: int = MAX_TAIL_CHANGES) -> TailIndex:
    return TailIndex(DIMENSIONS, FakeClock(), start, max_changes)


def draw_change(choices: random.Random, item_id: str) -> Change:
    if choices.random() < 0.2:
        return Change(item_id, None, (), None)
    group = choices.choice((*GROUPS, choices.sample(GROUPS, 2)))
    attributes = json.dumps({**random_attributes(choices), "group": group})
    vectors = draw_units(choices.choice((0, 1, 1, 1, 3)), choices.randrange(2**32))
    return Change(item_id, attributes, vectors, None, has_own_vectors=choices.random() < 0.3)


class ModelTail:
    """The latest changes in plain Python."""

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, Change]] = {}

    @property
    def items(self) -> dict[str, Change]:
        """The items that are not deleted."""
        return {
            item_id: change
            for item_id, (_, change) in self.latest.items()
            if change.attributes is not None
        }

    def find_allowed(self, restriction: Restriction) -> set[str]:
        """Return the searchable items that a restriction allows."""
        return {
            item_id
            for item_id, change in self.items.items()
            if change.vectors and _is_allowed(change, restriction)
        }


def _is_allowed(change: Change, restriction: Restriction) -> bool:
    attributes = read_attributes(change)
    group = attributes["group"]
    values = {hash_value(value) for value in (group if isinstance(group, list) else [group])}
    return (
        passes(restriction.filter or Filter(), attributes)
        and change.item_id not in restriction.exclude_ids
        and not values & set(restriction.excluded_values)
        and not (restriction.text_vectors_only and change.has_own_vectors)
    )


def read_attributes(change: Change) -> Mapping[str, JsonValue]:
    attributes: Mapping[str, JsonValue] = json.loads(change.attributes or "")
    return attributes


def draw_restriction(choices: random.Random) -> Restriction:
    groups = [hash_value(value) for value in choices.sample(GROUPS, choices.randrange(3))]
    return Restriction(
        choices.choice((None, random_filter(choices))),
        choices.sample([*IDS, "unknown"], choices.choice((0, 0, 3))),
        "group",
        choices.choice(((), groups)),
        text_vectors_only=choices.random() < 0.3,
    )


def find_nearest(items: Sequence[Change], queries: Sequence[bytes], limit: int) -> set[str]:
    """Return the items that are among the `limit` nearest to any query."""
    nearest: set[str] = set()
    for query in queries:
        scores = {
            item.item_id: max(_multiply(query, vector) for vector in item.vectors) for item in items
        }
        nearest.update(sorted(scores, key=scores.__getitem__, reverse=True)[:limit])
    return nearest


def _multiply(query: bytes, vector: bytes) -> float:
    return float(np.frombuffer(query, "<f4") @ np.frombuffer(vector, "<f4"))


def check(tail: TailIndex, model: ModelTail, choices: random.Random) -> None:
    """Check that reads of a tail return what is in a model."""
    by_id = model.items
    assert model.latest.keys() == set(tail.list_changed_ids())
    assert len(model.latest) == tail.change_count
    assert len(model.find_allowed(Restriction())) == len(tail)
    assert by_id == {change.item_id: change for change in tail.find([*IDS, "unknown"])}
    unchanged = [Change(item_id, "{}", (), None) for item_id in IDS if item_id not in model.latest]
    stale = [Change(item_id, "{}", (), None) for item_id in model.latest]
    assert unchanged == tail.select_unchanged([*stale, *unchanged])
    assert [tail.has_changed(item_id) for item_id in IDS] == [
        item_id in model.latest for item_id in IDS
    ]
    restriction = draw_restriction(choices)
    allowed = model.find_allowed(restriction)
    assert allowed == get_ids(tail.find_allowed([*IDS, "unknown"], restriction))
    filter_ = restriction.filter
    matching = {
        item_id
        for item_id, change in by_id.items()
        if passes(filter_ or Filter(), read_attributes(change))
    }
    assert matching == set(tail.find_matching(filter_, searchable=False))
    searchable = {item_id for item_id in matching if by_id[item_id].vectors}
    assert searchable == set(tail.find_matching(filter_, searchable=True))
    limit, queries = (
        choices.randrange(1, 8),
        draw_units(choices.choice((1, 3)), choices.randrange(99)),
    )
    rows = np.frombuffer(b"".join(queries), "<f4").reshape(-1, DIMENSIONS)
    found = tail.find_nearest(NearestRequest(rows, limit, restriction))
    expected = find_nearest([by_id[item_id] for item_id in sorted(allowed)], queries, limit)
    assert expected == get_ids(found)
    assert all(by_id[change.item_id] == change for change in found)


def get_ids(changes: Collection[Change]) -> set[str]:
    assert len({change.item_id for change in changes}) == len(changes)
    return {change.item_id for change in changes}


@pytest.mark.parametrize("seed", range(12))
def test_a_tail_has_what_changed_after_its_start(seed: int) -> None:
    """After any changes and trims, each read finds the latest changes beyond the last trim."""
    choices = random.Random(seed)
    sequence = choices.randrange(50)
    tail, model = create_tail(sequence), ModelTail()
    assert sequence == tail.sequence == tail.start
    for _ in range(25):
        if choices.random() < 0.7:
            sequence += choices.randrange(1, 6)
            batch = [draw_change(choices, item_id) for item_id in choices.sample(IDS, 6)]
            tail.apply(batch, sequence)
            for change in batch:
                model.latest[change.item_id] = sequence, change
        else:
            reached = choices.randrange(sequence + 3)
            start = max(tail.start, min(reached, sequence))
            tail.trim(reached)
            assert start == tail.start
            model.latest = {
                item_id: entry for item_id, entry in model.latest.items() if entry[0] > start
            }
        assert sequence == tail.sequence
        check(tail, model, choices)


def test_deletions_that_are_not_known_clear_the_tail() -> None:
    """If deletions were missed, nothing is left, and reads need the engine up to that write."""
    tail = create_tail()
    tail.apply([Change("a", "{}", draw_units(1, 1), None), Change("b", None, (), None)], 4)
    assert 0 == tail.drop_deleted(["a"], 9)
    assert (9, 9, 9) == (tail.start, tail.sequence, tail.complete_deletions)
    check(tail, ModelTail(), random.Random(1))


@pytest.mark.parametrize("max_changes", [1, 7, 20])
def test_too_many_changes_clear_the_tail(max_changes: int) -> None:
    """A tail with too many items drops all of them, deleted ones included; then it goes on."""
    tail, choices = create_tail(max_changes=max_changes), random.Random(2)
    for sequence, item_id in enumerate(IDS[:max_changes], start=1):
        tail.apply([draw_change(choices, item_id)], sequence)
    tail.apply([draw_change(choices, IDS[0])], 50)
    assert (max_changes, 0) == (tail.change_count, tail.start)
    tail.apply([draw_change(choices, IDS[max_changes])], 60)
    assert (60, 60) == (tail.start, tail.sequence)
    model = ModelTail()
    check(tail, model, choices)
    change = replace(draw_change(choices, "i00"), attributes='{"group": 1}')
    tail.apply([change], 61)
    model.latest["i00"] = 61, change
    check(tail, model, choices)


def test_too_many_vectors_clear_the_tail() -> None:
    """Those of former states and of trimmed changes do not count."""
    vectors = draw_units(4, 1)
    size = len(vectors[0])
    tail = TailIndex(DIMENSIONS, FakeClock(), 0, max_bytes=5 * size)
    for sequence in range(1, 4):
        tail.apply([Change("a", "{}", vectors, None)], sequence)
    tail.apply([Change("b", "{}", vectors[:1], None)], 4)
    tail.trim(3)
    tail.apply([Change("c", "{}", vectors, None)], 5)
    assert (2, 3) == (tail.change_count, tail.start)
    tail.apply([Change("d", "{}", vectors[:1], None)], 6)
    assert (0, 6) == (tail.change_count, tail.start)
    tail.apply([Change("e", "{}", vectors, None), Change("f", "{}", vectors[:1], None)], 7)
    assert (2, 6) == (tail.change_count, tail.start)


def test_expired_items_are_not_found_but_have_changed() -> None:
    """What has expired in the tail is not taken from the engine, which may still have it."""
    clock = FakeClock()
    tail = TailIndex(DIMENSIONS, clock, 0)
    item = Change("a", "{}", draw_units(1, 1), START_US + 5)
    tail.apply([item], 1)
    assert [item] == tail.find(["a"])
    clock.advance(microseconds=5)
    tail.drop_expired()
    assert [] == tail.find(["a"])
    assert [] == tail.find_allowed(["a"], Restriction())
    assert [] == tail.find_matching(None, searchable=False)
    assert [] == tail.select_unchanged([replace(item, expire_time_us=None)])
    tail.trim(1)
    assert 0 == tail.change_count
