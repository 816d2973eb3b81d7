"""Boosts against a computation of every item by hand, on random catalogs."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from support.behavior_models import build_model
from support.clock import FakeClock
from support.item_indexes import run_builds
from support.item_lists import draw_lists

from service.domain.boosts import Boost, BoostCurve, Decay, DecayShape, NumberBoost
from service.domain.filters import Condition, Equals, Filter, Range
from service.domain.groups import GroupBy
from service.domain.items import Change, JsonValue
from service.domain.recommendations import (
    ExamplesSource,
    ItemSource,
    PopularSource,
    Query,
    Relation,
    TextSource,
)
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.recommend.blending import ScoredBehavior
from service.recommend.boosts import (
    count_boost_conditions,
)
from service.recommend.collaborative.blend_validation import DEFAULT_BLEND
from service.recommend.explanation import MIN_EXPLAINING_SIMILARITY, explain_candidates
from service.recommend.grouping import FilledGroups
from service.recommend.new_items import NewItemBoost
from service.recommend.profile import Profile, ProfileText, build_query_vectors
from service.recommend.query_preparation import PreparedQuery
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum

COUNT, DIMENSIONS = 120, 8
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = 86_400.0
RETRIEVER = Retriever(SoftMaximum, None)
STATES = ("new", "used", "broken")

Attributes = Mapping[str, JsonValue]


def units(seed: int, count: int) -> Vectors:
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def draw_attributes(rng: random.Random) -> Attributes:
    """Return attributes of which some are missing, and some have values that are no numbers."""
    attributes: dict[str, JsonValue] = {"state": rng.choice(STATES)}
    if rng.random() < 0.8:
        attributes["price"] = rng.choice([rng.uniform(-5, 90), 20, "cheap", [10.0], True])
    if rng.random() < 0.8:
        released = NOW - timedelta(days=rng.uniform(-20, 200))
        attributes["released"] = released.isoformat(timespec="seconds")
    return attributes


def draw_boost(rng: random.Random) -> Boost:
    weight = rng.uniform(-4, 4)
    kind = rng.randrange(4)
    if kind == 0:
        state = Condition("state", Equals(rng.choice(STATES)))
        return Boost(Filter(any=(state, Condition("price", Range(gt=60.0)))), weight)
    if kind == 1:
        curve = rng.choice(list(BoostCurve))
        bounds = () if curve is BoostCurve.RANK else (rng.uniform(-10, 30), rng.uniform(31, 100))
        return Boost(NumberBoost("price", curve, *bounds), weight)
    shape, decay, offset = rng.choice(list(DecayShape)), rng.uniform(0.1, 0.9), rng.random()
    if kind == 2:
        origin, scale = rng.uniform(-100, 100), rng.uniform(0.5, 50)
        return Boost(Decay("price", scale, origin, 9 * offset, decay, shape), weight)
    return Boost(Decay("released", 30 * DAY, None, 9 * DAY * offset, decay, shape), weight)


def number_of(attributes: Attributes, name: str) -> float | None:
    """Return the number or the time of an attribute, None if it has none."""
    value = attributes.get(name)
    if name == "released" and isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def value_of(boost: Boost, attributes: Attributes, catalog: Sequence[Attributes]) -> float:
    """Return the value that the comments of the contract give an item."""
    function = boost.function
    assert function is not None
    if isinstance(function, Filter):
        state = function.any[0].test
        assert isinstance(state, Equals)
        price = number_of(attributes, "price")
        return float(attributes["state"] == state.value or (price or 0.0) > 60)
    number = number_of(attributes, function.attribute)
    if number is None:
        return 0.0
    if isinstance(function, Decay):
        return fall(number, function)
    others = [other for each in catalog if (other := number_of(each, "price")) is not None]
    return grow(number, function, others)


def fall(number: float, function: Decay) -> float:
    origin = NOW.timestamp() if function.origin is None else function.origin
    distance = max(abs(number - origin) - function.offset, 0.0) / function.scale
    if function.shape is DecayShape.LINEAR:
        return max(0.0, 1 - (1 - function.decay) * distance)
    is_gaussian = function.shape is DecayShape.GAUSSIAN
    return float(function.decay ** (distance * distance if is_gaussian else distance))


def grow(number: float, function: NumberBoost, others: Sequence[float]) -> float:
    if function.min is None or function.max is None:
        below = sum(other < number for other in others)
        return (below + sum(other == number for other in others) / 2) / len(others)
    excess = min(max(number, function.min), function.max) - function.min
    if function.curve is BoostCurve.LOG:
        return math.log(1 + excess) / math.log(1 + function.max - function.min)
    return excess / (function.max - function.min)


class RandomCatalog:
    """An item index of random items, and what boosts add to each by hand."""

    def __init__(self, seed: int, *, graphs: bool = False) -> None:
        rng = random.Random(seed)
        self.vectors = units(seed, COUNT)
        self.attributes = [draw_attributes(rng) for _ in range(COUNT)]
        self.boosts = tuple(draw_boost(rng) for _ in range(rng.randint(1, 10)))
        index = (
            SegmentedIndex(DIMENSIONS, first_graph_vectors=60, next_graph_vectors=20)
            if graphs
            else ExactIndex(DIMENSIONS)
        )
        self.item_index = ItemIndex(index, FakeClock(round(NOW.timestamp() * 1e6)))
        changes = [
            Change(f"i{number:03}", json.dumps(attributes), (vector.tobytes(),), None)
            for number, (attributes, vector) in enumerate(
                zip(self.attributes, self.vectors, strict=True)
            )
        ]
        # A former state of each item, so that the columns have stale entries.
        former = [replace(change, attributes='{"price": 70}') for change in changes]
        self.item_index.apply(former, COUNT)
        self.item_index.apply(changes, 2 * COUNT)
        run_builds(self.item_index.maintenance)

    def totals(self) -> list[float]:
        """Return what the boosts add to each item, before the unit."""
        return [
            sum(
                boost.weight * value_of(boost, attributes, self.attributes) for boost in self.boosts
            )
            for attributes in self.attributes
        ]

    def check(
        self, prepared: PreparedQuery, base: Sequence[float], unit: float, left_out: set[int]
    ) -> None:
        """Check that retrieved items are the best by base score and boosts, for some limits."""
        expected = {
            f"i{number:03}": score + unit * total
            for number, (score, total) in enumerate(zip(base, self.totals(), strict=True))
            if number not in left_out
        }
        best = sorted(expected.values(), reverse=True)
        for limit in (1, 7, COUNT):
            candidates = RETRIEVER.retrieve(self.item_index, prepared, limit)
            assert candidates is not None
            scores = candidates.scores.tolist()
            assert best[:limit] == pytest.approx(scores, abs=1e-4)
            by_id = [expected[item_id] for item_id in candidates.item_ids]
            assert by_id == pytest.approx(scores, abs=1e-4)


seeds = pytest.mark.parametrize("seed", range(12))
tiers = pytest.mark.parametrize("graphs", [False, True], ids=["exact", "graphs"])


@seeds
@tiers
def test_boosts_are_added_to_cosines(seed: int, graphs: bool) -> None:
    """For items and texts, every item has its cosine and its boosts, in deviations of cosines."""
    catalog = RandomCatalog(seed, graphs=graphs)
    text = units(seed + 100, 2)
    for source, profile, chunks, left_out in (
        (ItemSource("i005"), None, catalog.vectors[5:6], {5}),
        (TextSource("a"), Profile(texts=[ProfileText("a", 1.0, text)]), text, set[int]()),
    ):
        base = (catalog.vectors @ chunks.T).max(axis=1)
        query = Query(source, 10, boosts=catalog.boosts)
        unit = 1.0 if graphs else float(base.std())
        if graphs:
            sample = catalog.item_index.sample.read()
            unit = float((sample @ chunks.T).max(axis=1).std())
        catalog.check(PreparedQuery(query, profile), base.tolist(), unit, left_out)


@seeds
@tiers
def test_boosts_are_added_to_the_scores_of_profiles(seed: int, graphs: bool) -> None:
    """For examples, every item has its score by text and its boosts, in deviations of scores."""
    catalog = RandomCatalog(seed, graphs=graphs)
    profile = Profile([LikedItem("i003"), LikedItem("i009", -0.5)], seen_item_ids={"i003", "i009"})
    query = Query(ExamplesSource(), 10, boosts=catalog.boosts)
    statistics = catalog.item_index.compute_statistics()
    scorer = SoftMaximum(build_query_vectors(profile, catalog.item_index).sources, statistics)
    unit = float(scorer.score(statistics.sample).std())
    base = scorer.score(catalog.vectors).tolist()
    catalog.check(PreparedQuery(query, profile), base, unit, {3, 9})


# The last 20 of these items are not in the catalogs.
LISTS = [[f"i{number:03}" for number in row] for row in draw_lists(1, 200, 140, clusters=3)]


@seeds
def test_boosts_are_added_to_scores_by_behavior(seed: int) -> None:
    """If behavior counts, scores are in deviations, and boosts are added as they are."""
    catalog, model = RandomCatalog(seed), build_model(LISTS)
    for source, liked_ids, relation in (
        (ExamplesSource(), ["i003", "i009"], Relation.SIMILAR),
        (ExamplesSource(), ["i125", "i130"], Relation.SIMILAR),
        (ItemSource("i003"), ["i003"], Relation.ALSO_LIKED),
    ):
        likes = [LikedItem(item_id) for item_id in liked_ids]
        scored = model.score(likes, DEFAULT_BLEND.normalize(), oldest_first=False)
        assert scored is not None
        prepared = PreparedQuery(
            Query(source, 10, relation=relation),
            Profile(likes, seen_item_ids=set(liked_ids)),
            ScoredBehavior(model, scored, NewItemBoost(frozenset(), 0.0)),
        )
        plain = RETRIEVER.retrieve(catalog.item_index, prepared, COUNT)
        assert plain is not None
        base = dict(zip(plain.item_ids, plain.scores.tolist(), strict=True))
        assert 10 < len(base)
        left_out = {number for number in range(COUNT) if f"i{number:03}" not in base}
        scores = [base.get(f"i{number:03}", 0.0) for number in range(COUNT)]
        boosted = replace(prepared.query, boosts=catalog.boosts)
        catalog.check(replace(prepared, query=boosted), scores, 1.0, left_out)


@seeds
def test_boosts_are_added_to_popularity(seed: int) -> None:
    """The unit of boosts of popular items is the deviation of their scores, whatever the filter."""
    catalog = RandomCatalog(seed)
    model = build_model(LISTS)
    everything = RETRIEVER.retrieve(
        catalog.item_index, PreparedQuery(Query(PopularSource(30.0), 10), model=model), COUNT
    )
    assert everything is not None
    base = dict(zip(everything.item_ids, everything.scores.tolist(), strict=True))
    only_new = Filter(all=(Condition("state", Equals("new")),))
    query = Query(PopularSource(30.0), 10, filter=only_new, boosts=catalog.boosts)
    left_out = {
        number
        for number, attributes in enumerate(catalog.attributes)
        if f"i{number:03}" not in base or attributes["state"] != "new"
    }
    scores = [base.get(f"i{number:03}", 0.0) for number in range(COUNT)]
    unit = float(np.std(list(base.values()), dtype=np.float32))
    catalog.check(PreparedQuery(query, model=model), scores, unit, left_out)


@seeds
def test_explanations_are_the_same_as_without_boosts(seed: int) -> None:
    """An explanation has the cosine of the item with the source, and not its boosted score."""
    catalog = RandomCatalog(seed)
    query = Query(ItemSource("i005"), 10, boosts=catalog.boosts)
    candidates = RETRIEVER.retrieve(catalog.item_index, PreparedQuery(query), 10)
    assert candidates is not None
    explanations = explain_candidates(catalog.item_index, PreparedQuery(query), candidates)
    cosines = {
        item_id: float(catalog.vectors[int(item_id[1:])] @ catalog.vectors[5])
        for item_id in candidates.item_ids
    }
    similarities = {item_id: parts[0].similarity for item_id, parts in explanations.items()}
    explained = {
        item_id: pytest.approx(cosine, abs=1e-5)
        for item_id, cosine in cosines.items()
        if cosine >= MIN_EXPLAINING_SIMILARITY
    }
    assert explained == similarities
    assert explained


def test_boosts_order_items_whose_scores_are_equal() -> None:
    """The unit is 1 if the scores of the catalog do not differ."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    vector = units(1, 1)[0].tobytes()
    changes = [
        Change(name, json.dumps({"stock": stock}), (vector,), None)
        for stock, name in enumerate("abcd")
    ]
    item_index.apply(changes, len(changes))
    boosts = (Boost(NumberBoost("stock", BoostCurve.LINEAR, 0.0, 3.0), 3.0),)
    prepared = PreparedQuery(Query(ItemSource("d"), 10, boosts=boosts))
    candidates = RETRIEVER.retrieve(item_index, prepared, 10)
    assert candidates is not None
    assert ["c", "b", "a"] == candidates.item_ids
    assert [3.0, 2.0, 1.0] == pytest.approx(candidates.scores.tolist(), abs=1e-5)


def test_extreme_numbers_have_values() -> None:
    """The largest and the smallest numbers have values, and not NaN, with all valid bounds."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    numbers = {"most": 1.7e308, "least": -1.7e308, "origin": 0.0}
    changes = [
        Change(name, json.dumps({"n": number}), (vector.tobytes(),), None)
        for (name, number), vector in zip(numbers.items(), units(2, 3), strict=True)
    ]
    item_index.apply(changes, len(changes))
    functions: list[Decay | NumberBoost] = [
        *(Decay("n", 1e-9, 0.0, shape=shape) for shape in DecayShape),
        *(
            NumberBoost("n", curve, *bounds)
            for curve in (BoostCurve.LINEAR, BoostCurve.LOG)
            for bounds in ((-8e307, 8e307), (0.0, 5e-324))
        ),
    ]
    for function in functions:
        boosts = (Boost(function, 10.0),)
        prepared = PreparedQuery(
            Query(TextSource("a"), 10, boosts=boosts),
            Profile(texts=[ProfileText("a", 1.0, units(3, 1))]),
        )
        candidates = RETRIEVER.retrieve(item_index, prepared, 10)
        assert candidates is not None
        best = {"origin"} if isinstance(function, Decay) else {"origin", "most"}
        assert candidates.item_ids[0] in best
        assert np.isfinite(candidates.scores).all()


def test_boosts_count_as_the_conditions_that_take_as_long() -> None:
    """A rank, which sorts the numbers of all items, counts far more than other functions do."""
    red = Filter(all=(Condition("color", Equals("red")), Condition("kind", Equals("a"))))
    linear = NumberBoost("n", BoostCurve.LINEAR, 0.0, 1.0)
    functions = (red, linear, Decay("n", 1.0), NumberBoost("n"))
    counts = [count_boost_conditions([Boost(function)]) for function in functions]
    filter_count, linear_count, decay_count, rank_count = counts
    assert (3, 1) == (filter_count, linear_count)
    assert linear_count < decay_count
    assert max(filter_count, decay_count) * 4 <= rank_count
    assert sum(counts) == count_boost_conditions([Boost(function) for function in functions])


@seeds
def test_further_candidates_are_those_that_were_left_out(seed: int) -> None:
    """With filled groups, the other items come in the same order and with the same scores."""
    catalog, model = RandomCatalog(seed), build_model(LISTS)
    text = Profile(texts=[ProfileText("a", 1.0, units(seed, 1))])
    grouped = Query(ItemSource("i003"), 10, group_by=GroupBy("state"))
    queries = [
        PreparedQuery(grouped),
        PreparedQuery(replace(grouped, source=TextSource("a")), text),
        PreparedQuery(replace(grouped, source=PopularSource(30.0)), model=model),
    ]
    for liked_ids in (["i003", "i009"], ["i125", "i130"]):
        likes = [LikedItem(item_id) for item_id in liked_ids]
        scored = model.score(likes, DEFAULT_BLEND.normalize(), oldest_first=False)
        assert scored is not None
        behavior = ScoredBehavior(model, scored, NewItemBoost(frozenset(), 0.0))
        source = ExamplesSource()
        queries.append(PreparedQuery(replace(grouped, source=source), Profile(likes), behavior))
    for prepared in queries:
        everything = RETRIEVER.retrieve(catalog.item_index, prepared, COUNT)
        assert everything is not None
        number = everything.item_ids[0][1:]
        state = catalog.attributes[int(number)]["state"]
        filled = FilledGroups(everything.item_ids[:9], everything.group_values[0])
        remaining = RETRIEVER.retrieve(catalog.item_index, replace(prepared, filled=filled), COUNT)
        assert remaining is not None
        expected = {
            item_id: score
            for item_id, score, _ in everything.ranked[9:]
            if catalog.attributes[int(item_id[1:])]["state"] != state
        }
        assert list(expected) == remaining.item_ids
        assert list(expected.values()) == pytest.approx(remaining.scores.tolist(), abs=1e-5)
