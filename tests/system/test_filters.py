from collections.abc import Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path
from random import Random
from typing import Any

import akin
import pytest
from akin.v1 import filter_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from support.filters import Attributes, filter_message, passes, random_attributes, random_filter
from support.provider import ScriptedProvider, failure
from support.rejections import RawClient, invalid, translated
from support.server import RunningServer
from support.texts import COUNT, distinct

from service.domain.filters import Condition, Equals, Filter

ITEMS, SEEDS = 60, range(40)
LIMITS = (1, 3, 10, 1000)


class Shelf:
    """The items of a server, and what their attributes are."""

    def __init__(self, client: akin.Client, raw: RawClient) -> None:
        self.client = client
        self.raw = raw
        self.attributes: dict[str, Attributes] = {}

    def put(self, item_id: str, text: str, attributes: Attributes) -> None:
        """Stores an item, in place of the one with its id."""
        self.client.upsert_item(item_id, text, dict(attributes))
        self.attributes[item_id] = attributes

    def take(self, item_id: str) -> None:
        """Deletes an item."""
        self.client.delete_item(item_id)
        del self.attributes[item_id]

    def passing(self, wanted: Filter) -> list[str]:
        """The ids of the items that pass, ascending in byte order."""
        ids = (item_id for item_id, each in self.attributes.items() if passes(wanted, each))
        return sorted(ids, key=str.encode)

    def page(self, wanted: Filter, token: str = "", size: int = 3) -> pb.ListItemsResponse:
        """One page of the items that pass."""
        only = filter_message(wanted)
        request = pb.ListItemsRequest(page_size=size, page_token=token, filter=only)
        with translated():
            response: pb.ListItemsResponse = self.raw.stub.ListItems(request)
        return response

    def pages(self, wanted: Filter) -> list[list[str]]:
        """The ids of the items that pass, page by page."""
        page = self.page(wanted)
        found = [ids_of(page)]
        while page.next_page_token:
            page = self.page(wanted, page.next_page_token)
            found.append(ids_of(page))
        return found

    def recommend(self, wanted: Filter | None, **fields: Any) -> list[tuple[str, float]]:
        """The recommended ids and their scores."""
        request = pb.RecommendSimilarRequest(**fields)
        if wanted is not None:
            request.filter.CopyFrom(filter_message(wanted))
        with translated():
            found = self.raw.stub.RecommendSimilar(request).recommendations
        return [(each.item_id, each.score) for each in found]


@contextmanager
def on_shelf(server: RunningServer) -> Iterator[Shelf]:
    with server.client() as client, RawClient(server.address) as raw:
        yield Shelf(client, raw)


def ids_of(page: pb.ListItemsResponse) -> list[str]:
    return [item.item_id for item in page.items]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose items are those of these tests alone, all of them known."""
    with RunningServer(tmp_path_factory.mktemp("filters")) as running:
        yield running


@pytest.fixture(scope="module")
def shelf(server: RunningServer) -> Iterator[Shelf]:
    random = Random(7)
    numbers = random.sample(range(COUNT), ITEMS)
    with on_shelf(server) as filled:
        for number, which in enumerate(numbers):
            text = distinct(numbers[number // 8 * 8] if number % 8 == 7 else which)
            item_id = f"{random.choice(('A', 'a', 'é', '~', '🙂', '|'))}{number}"
            filled.put(item_id, text, random_attributes(random))
        liked = [*random.sample(list(filled.attributes), 4), "gone"]
        filled.client.upsert_user("u", ["fishing at sea", "music"], liked)
        yield filled


def drawn_filter(shelf: Shelf, seed: int) -> Filter:
    """A random filter; three of four let some items pass and keep others out."""
    random = Random(seed)
    while True:
        wanted = random_filter(random)
        if seed % 4 == 0 or 0 < len(shelf.passing(wanted)) < len(shelf.attributes):
            return wanted


def sources(shelf: Shelf, random: Random) -> list[dict[str, Any]]:
    return [
        {"text": distinct(random.randrange(COUNT))},
        {"item_id": random.choice(list(shelf.attributes))},
        {"user_id": "u"},
        {"user_id": "u", "exact": True},
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_recommendations_that_pass(shelf: Shelf, seed: int) -> None:
    """A filtered answer is the whole unfiltered one without what does not pass, cut to length."""
    random = Random(seed)
    wanted = drawn_filter(shelf, seed)
    passing = set(shelf.passing(wanted))
    for source in sources(shelf, random):
        everything = shelf.recommend(None, **source, limit=1000)
        assert len(everything) >= ITEMS - 5
        for limit in LIMITS:
            expected = [hit for hit in everything if hit[0] in passing][:limit]
            found = shelf.recommend(wanted, **source, limit=limit)
            assert [item_id for item_id, _ in expected] == [item_id for item_id, _ in found]
            scores = [score for _, score in found]
            assert [score for _, score in expected] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS[1::3])
def test_filters_go_with_other_choices(shelf: Shelf, seed: int) -> None:
    """Excluded items and a least score narrow what passes, and the answer is still full."""
    random = Random(seed)
    wanted = drawn_filter(shelf, seed)
    passing = set(shelf.passing(wanted))
    excluded = random.sample(list(shelf.attributes), 20)
    for source in sources(shelf, random):
        everything = shelf.recommend(None, **source, limit=1000)
        bound = everything[40][1]
        allowed = passing.difference(excluded)
        rest = [item_id for item_id, score in everything if score >= bound and item_id in allowed]
        source |= {"min_score": bound - 1e-6, "exclude_item_ids": excluded}
        found = shelf.recommend(wanted, **source, limit=5)
        assert rest[:5] == [item_id for item_id, _ in found]


@pytest.mark.parametrize("seed", SEEDS)
def test_pages_hold_what_passes(shelf: Shelf, seed: int) -> None:
    """The pages of a filtered list joined are what passes by ascending id, and so is the total."""
    wanted = drawn_filter(shelf, seed)
    pages = shelf.pages(wanted)
    assert shelf.passing(wanted) == [item_id for page in pages for item_id in page]
    assert all(len(page) == 3 for page in pages[:-1])
    assert len(shelf.passing(wanted)) == shelf.page(wanted, size=1).total_size
    assert len(shelf.passing(wanted)) == shelf.page(wanted, size=1000).total_size


def test_an_empty_filter_lists_everything(shelf: Shelf) -> None:
    """A filter without conditions is as good as none."""
    everything = shelf.client.list_items(1000)
    assert everything.items == shelf.page(Filter(), size=1000).items
    assert sorted(shelf.attributes, key=str.encode) == ids_of(everything)


def test_writes_between_pages(shelf: Shelf, prefix: str) -> None:
    """Items that come and go between pages leave each other one on exactly one page."""
    wanted = Filter(all=(Condition("shelf", Equals(prefix)),))
    for number in range(10, 22):
        shelf.put(f"{prefix}{number}", distinct(number), {"shelf": prefix})
    page = shelf.page(wanted)
    assert [f"{prefix}{number}" for number in (10, 11, 12)] == ids_of(page)
    for number in (11, 12, 13, 17):
        shelf.take(f"{prefix}{number}")
    shelf.put(f"{prefix}09", distinct(9), {"shelf": prefix})
    shelf.put(f"{prefix}155", distinct(155), {"shelf": prefix})
    shelf.put(f"{prefix}18", distinct(18), {"shelf": "another"})
    rest = []
    while page.next_page_token:
        page = shelf.page(wanted, page.next_page_token)
        assert len(shelf.passing(wanted)) == page.total_size
        rest += ids_of(page)
    assert [f"{prefix}{number}" for number in (14, 15, 155, 16, 19, 20, 21)] == rest


def test_a_token_belongs_to_its_filter(shelf: Shelf) -> None:
    """A page token continues its own list at any size, and no list of another filter."""
    one, other = (Filter(none=(Condition("x", Equals(x)),)) for x in (1.0, 2.0))
    token = shelf.page(one).next_page_token
    everything = shelf.passing(Filter())
    assert everything[3:10] == ids_of(shelf.page(one, token, size=7))
    for wanted in (other, Filter(), Filter(all=one.none)):
        with invalid("page_token"):
            shelf.page(wanted, token)
    with invalid("page_token"):
        shelf.page(one, shelf.client.list_items(3).next_page_token)


def test_replaced_attributes_are_seen(shelf: Shelf, prefix: str) -> None:
    """An answer after an upsert goes by the new attributes, after a delete by none."""
    red, blue = (Filter(all=(Condition(f"{prefix}.x", Equals(x)),)) for x in ("red", "blue"))
    turns: list[Attributes] = [{prefix: {"x": "red"}}, {f"{prefix}.x": "blue"}, {prefix: {}}]
    for attributes in turns:
        shelf.put(f"{prefix}1", distinct(1), attributes)
        for wanted in (red, blue):
            expected = [f"{prefix}1"] * passes(wanted, attributes)
            assert [expected] == shelf.pages(wanted)
            found = shelf.recommend(wanted, text="anything")
            assert expected == [item_id for item_id, _ in found]
    shelf.put(f"{prefix}1", distinct(1), turns[0])
    shelf.take(f"{prefix}1")
    assert ([[]], []) == (shelf.pages(red), shelf.recommend(red, text="anything"))


def test_a_restart_keeps_attributes(tmp_path: Path) -> None:
    """Filters answer after a restart as they did before."""
    random = Random(11)
    filters = [random_filter(random) for _ in range(20)]
    answers = []
    for turn in range(2):
        with RunningServer(tmp_path) as server:
            with on_shelf(server) as shelf:
                for number in range(0 if turn else 20):
                    shelf.put(f"{number}", distinct(number), random_attributes(random))
                pages = [shelf.pages(wanted) for wanted in filters]
                found = [shelf.recommend(wanted, text="Norway") for wanted in filters]
                answers.append((pages, found))
            server.stop()
    assert answers[0] == answers[1]


def test_waiting_items_have_attributes(tmp_path: Path) -> None:
    """Without vectors items are listed by their attributes; with old ones they go by new ones."""
    red = Filter(all=(Condition("x", Equals("red")),))
    with ScriptedProvider() as provider:
        own = {"OPENROUTER_API_KEY": "k", "EMBEDDING_BASE_URL": provider.url}
        with RunningServer(tmp_path, **own) as server, on_shelf(server) as shelf:
            for item_id in ("a", "b", "c"):
                shelf.put(item_id, f"about {item_id}", {"x": "blue"})
            provider.otherwise = failure(401)
            shelf.put("b", "about b from now on", {"x": "red"})
            shelf.put("d", "about d", {"x": "red"})
            assert [["b", "d"]] == shelf.pages(red)
            assert ["b"] == [item_id for item_id, _ in shelf.recommend(red, item_id="a")]
            assert 2 == shelf.page(red, size=1).total_size


def bad_filter() -> filter_pb2.Filter:
    condition, there = filter_pb2.Condition, filter_pb2.Condition(attribute="a", exists=True)
    nested = filter_pb2.Filter(any=[there, condition(attribute="a", contains_any=ListValue())])
    a_struct = Value(struct_value=Struct())
    return filter_pb2.Filter(
        all=[
            condition(attribute="a", range=filter_pb2.Range()),
            condition(attribute="a", equals=Value(null_value=NULL_VALUE)),
            condition(attribute="a", equals=Value()),
            condition(attribute="a", one_of=ListValue(values=[Value(string_value="a"), a_struct])),
            condition(attribute="a"),
        ],
        any=[there, condition(attribute="a", filter=nested)],
        none=[condition(attribute="", equals=Value(number_value=nan))],
    )


BAD_FIELDS = (
    *("filter.all[0].range", "filter.all[1].equals", "filter.all[2].equals"),
    *("filter.all[3].one_of", "filter.all[4].test", "filter.any[1].attribute"),
    *("filter.any[1].filter.any[1].contains_any", "filter.none[0].attribute"),
    "filter.none[0].equals",
)


def test_every_fault_of_a_filter_is_named(raw: RawClient) -> None:
    """A bad filter is refused by every call that takes one, with the path of each fault."""
    with invalid(*BAD_FIELDS), translated():
        raw.stub.RecommendSimilar(pb.RecommendSimilarRequest(text="fine", filter=bad_filter()))
    with invalid(*BAD_FIELDS), translated():
        raw.stub.ListItems(pb.ListItemsRequest(filter=bad_filter()))


def test_a_bad_filter_hides_nothing(raw: RawClient) -> None:
    """The faults of a filter are named beside all others."""
    wanted = filter_pb2.Filter(all=[filter_pb2.Condition(attribute="a")])
    fault, foreign = "filter.all[0].test", "!"
    with invalid("source", "limit", fault), translated():
        raw.stub.RecommendSimilar(pb.RecommendSimilarRequest(limit=-1, filter=wanted))
    request = pb.ListItemsRequest(page_size=-1, page_token=foreign, filter=wanted)
    with invalid("page_token", "page_size", fault), translated():
        raw.stub.ListItems(request)
