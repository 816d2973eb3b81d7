"""A model beside an item index whose items come and go."""

import gc
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from support.behavior_models import build_model
from support.clock import FakeClock
from support.item_indexes import create_item_index

from service.domain.behavior import BlendWeights
from service.domain.filters import Filter
from service.domain.items import Change
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.recent_changes import MAX_RECENT_CHANGES
from service.recommend.behavior_model import NO_KEY, BehaviorModel

NAMES = "abcdefgh"
LISTS = [NAMES[:4], NAMES[:4], NAMES[:4], NAMES[2:], NAMES[2:], NAMES[2:], "ab", "ab"]
WEIGHTS = BlendWeights(1.0, 0.4, 0.0)
DIMENSIONS = 4


def unit(number: int) -> Vectors:
    vector = np.random.default_rng(number).normal(size=DIMENSIONS).astype(np.float32)
    scaled: Vectors = vector / np.linalg.norm(vector)
    return scaled


def index(names: Sequence[str]) -> ItemIndex:
    return create_item_index({name: unit(number) for number, name in enumerate(names)})


def change(item_id: str, *vectors: Vectors, expire_time_us: int | None = None) -> Change:
    return Change(item_id, "{}", tuple(vector.tobytes() for vector in vectors), expire_time_us)


def rank_ids(model: BehaviorModel, item_index: ItemIndex, likes: str) -> list[str]:
    """Return the ids of the items that a model scores for likes, best first."""
    behavior = model.score([LikedItem(name) for name in likes], WEIGHTS, oldest_first=True)
    assert behavior is not None
    hits = model.find_hits(behavior, item_index)
    allowed = item_index.compute_mask(Filter(), item_index.find_keys(likes))
    best = hits.select_best(allowed, 10)
    assert np.all(np.diff(best.scores) <= 0)
    return item_index.get_ids(best.keys.tolist())


def find(model: BehaviorModel, item_index: ItemIndex, names: str = NAMES) -> dict[str, int]:
    """Return the key of each item that a model and an index have."""
    numbers = np.array([NAMES.index(name) for name in names], np.int32)
    keys = model.find_keys(numbers, item_index).tolist()
    return {name: key for name, key in zip(names, keys, strict=True) if key != NO_KEY}


def assert_same(model: BehaviorModel, item_index: ItemIndex) -> None:
    """Check that a model knows the keys of exactly the searchable items."""
    keys = {name: item_index.find_key(name) for name in NAMES}
    assert {name: key for name, key in keys.items() if key is not None} == find(model, item_index)


def test_keys_follow_the_index() -> None:
    """Whatever happens to items, the model has the keys that they have now."""
    model, clock = build_model(LISTS), FakeClock()
    item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
    assert_same(model, item_index)
    steps = [
        [change(name, unit(number)) for number, name in enumerate("abcd")],
        [Change("b", None, (), None)],
        [change("other", unit(9))],  # which gets the key of b
        [change("b", unit(10))],
        [change("c")],  # is pending
        [change("c", unit(11), unit(12))],
        [change("d", unit(13))],
        [change("e", unit(14), expire_time_us=clock.now_us + 5)],
        [change("a"), Change("other", None, (), None), change("f", unit(15))],
    ]
    for sequence, changes in enumerate(steps):
        item_index.apply(changes, sequence)
        assert_same(model, item_index)
    clock.advance(microseconds=5)
    item_index.drop_expired()
    assert_same(model, item_index)
    item_index.apply([change("g", unit(16))], 99)  # which gets the key of e
    assert_same(model, item_index)
    assert {"b", "c", "d", "f", "g"} == set(find(model, item_index))
    item_index.drop_deleted({"b"}, 100)
    assert ["b"] == list(find(model, item_index))


def test_two_indexes_have_keys_of_their_own() -> None:
    """During a re-embedding, a model is used with two indexes in turns."""
    model = build_model(LISTS)
    first, second = index(NAMES), index(NAMES[::-1])
    for _ in range(2):
        assert_same(model, first)
        assert_same(model, second)
    first.apply([Change("a", None, (), None), change("new", unit(9))], 99)
    assert_same(model, second)
    assert_same(model, first)


class InterruptedIndex(ItemIndex):
    """An item index in which another thread uses another index while a key is looked up."""

    use_other: Callable[[], None]

    def find_key(self, item_id: str) -> int | None:
        """Return the key of an item after the other thread's turn."""
        self.use_other()
        return super().find_key(item_id)


def test_two_threads_use_two_indexes() -> None:
    """A thread gets the keys of its index although another thread uses another index meanwhile."""
    model, other = build_model(LISTS), index(NAMES[::-1])
    item_index = InterruptedIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.use_other = lambda: assert_same(model, other)
    changes = [change(name, unit(number)) for number, name in enumerate(NAMES)]
    item_index.apply(changes, 1)
    assert dict(zip(NAMES, range(len(NAMES)), strict=True)) == find(model, item_index)


def test_an_index_that_is_gone_is_not_held() -> None:
    """A model does not keep the memory of a former index."""
    model, item_index = build_model(LISTS), index(NAMES)
    assert_same(model, item_index)
    reference = weakref.ref(item_index)
    del item_index
    gc.collect()
    assert reference() is None


def test_people_get_what_others_like_too() -> None:
    """Items that people with the same likes like come, in any index that has them."""
    model = build_model(LISTS)
    assert {"c", "d"} == set(rank_ids(model, index(NAMES), "ab"))
    assert {"d"} == set(rank_ids(model, index("abdx"), "ab"))
    assert [] == rank_ids(model, index("x"), "ab")


@pytest.mark.parametrize("likes", ["", "z", "zy"])
def test_unknown_likes_say_nothing(likes: str) -> None:
    """For likes that nothing is learned about there are no scores."""
    liked = [LikedItem(name) for name in likes] + [LikedItem("a", -1.0)]
    assert build_model(LISTS).score(liked, WEIGHTS, oldest_first=True) is None


def test_an_empty_model_says_nothing() -> None:
    """A model without likes scores nothing, and knows no popular item."""
    model, item_index = build_model([]), index(NAMES)
    assert model.score([LikedItem("a")], WEIGHTS, oldest_first=True) is None
    assert {"a"} == model.select_unlearned(["a"])
    hits = model.rank_popular(item_index, item_index.compute_mask(Filter(), ()), 30.0, 5)
    assert [] == hits.keys.tolist()


def test_explanations_name_likes() -> None:
    """The likes that lead to an item add up to its score above the base."""
    model = build_model(LISTS)
    likes = [LikedItem("a"), LikedItem("b"), LikedItem("unknown")]
    behavior = model.score(likes, WEIGHTS, oldest_first=True)
    assert behavior is not None
    score = behavior.scores[behavior.numbers.tolist().index(NAMES.index("c"))]
    parts = dict(model.explain(behavior, "c"))
    assert {"a", "b"} == set(parts)
    assert float(score) - behavior.base == pytest.approx(sum(parts.values()), abs=1e-4)
    assert [] == model.explain(behavior, "unknown")
    assert [] == model.explain(behavior, "h")


def rank_popular(model: BehaviorModel, item_index: ItemIndex, limit: int, *exclude: str) -> str:
    allowed = item_index.compute_mask(Filter(), item_index.find_keys(exclude))
    hits = model.rank_popular(item_index, allowed, 30.0, limit)
    return "".join(item_id for item_id, _, _ in item_index.rank_hits(hits, limit))


def test_popular_items_are_allowed_ones_of_the_index() -> None:
    """The most popular items come, ties by id, whatever the index has and the query excludes."""
    model = build_model(LISTS)
    assert "cdabefgh" == rank_popular(model, index(NAMES), 10)
    assert "cda" == rank_popular(model, index(NAMES), 3)
    assert "dbe" == rank_popular(model, index(NAMES), 3, "c", "a")
    assert "gh" == rank_popular(model, index("xhg"), 5)
    assert "" == rank_popular(model, index("x"), 5)
    assert "" == rank_popular(model, ItemIndex(ExactIndex(DIMENSIONS), FakeClock()), 5)


def test_popular_items_are_found_among_many() -> None:
    """If the most popular 3,000 items are gone, the most popular of the others come, none short."""
    names = [f"{number:05}" for number in range(4_000)]
    # One person likes all, another all but the last item, and so on for the popular ones.
    model = build_model([names, names[:3_500], names[:3_000]])
    item_index = create_item_index(
        {name: unit(number) for number, name in enumerate(names[3_000:])}
    )
    allowed = item_index.compute_mask(Filter(), item_index.find_keys(names[3_000:3_490]))
    hits = model.rank_popular(item_index, allowed, 30.0, 20)
    ranked = [item_id for item_id, _, _ in item_index.rank_hits(hits, 20)]
    assert names[3_490:3_510] == ranked


def test_a_restored_index_has_its_keys() -> None:
    """After a snapshot was loaded into an index, a model has the keys of its items."""
    model, item_index = build_model(LISTS), index(NAMES)
    restored = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    assert_same(model, restored)
    with item_index.lock:
        state = item_index.capture()
    restored.restore(state, {})
    assert_same(model, restored)
    assert set(NAMES) == set(find(model, restored))


class CountingIndex(ItemIndex):
    """An item index that counts how many keys are looked up."""

    lookup_count = 0

    def find_key(self, item_id: str) -> int | None:
        """Return the key of an item, and count it."""
        self.lookup_count += 1
        return super().find_key(item_id)


def test_a_write_costs_one_lookup() -> None:
    """After a write, only the keys of its items are looked up again, also if nothing is known."""
    model = build_model(LISTS)
    item_index = CountingIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.apply([change(name, unit(number)) for number, name in enumerate("abcd")], 1)
    steps = [
        ([], len(NAMES)),
        ([], 0),
        ([change("a", unit(9))], 0),  # another vector, the same key
        ([change("e", unit(9)), change("other", unit(10))], 1),
        ([Change("a", None, (), None), change("more", unit(11))], 1),
        ([change(f"other {number}", unit(9)) for number in range(MAX_RECENT_CHANGES)], 0),
        (
            [change(f"last {number}", unit(9)) for number in range(MAX_RECENT_CHANGES + 1)],
            len(NAMES),
        ),
    ]
    for sequence, (changes, lookups) in enumerate(steps, 2):
        item_index.apply(changes, sequence)
        item_index.lookup_count = 0
        find(model, item_index)
        assert lookups == item_index.lookup_count
        assert_same(model, item_index)
