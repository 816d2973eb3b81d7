import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import akin
import grpc
import pytest
from support.server import RunningServer
from support.texts import distinct

CONCURRENT_CALLS = 20

T = TypeVar("T")

JSON = {
    "title": "Crème brûlée 🍮",
    "price": 4.5,
    "stock": 0,
    "vegan": False,
    "discount": None,
    "tags": ["dessert", "french", 3.0],
    "maker": {"name": "Chez Nous", "address": {"city": "Lyon"}},
}


def walked(client: akin.Client, page_size: int) -> Iterator[akin.Item]:
    token = ""
    while True:
        page = client.list_items(page_size, token)
        assert page_size >= len(page.items)
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def test_upsert_returns_the_stored_item(client: akin.Client, prefix: str) -> None:
    """An upsert replies with the item as stored: indexed, numbered and dated."""
    before = datetime.now(UTC)
    response = client.upsert_item(f"{prefix}1", "A custard under burnt sugar", JSON)
    item = response.item
    assert f"{prefix}1" == item.item_id
    assert "A custard under burnt sugar" == item.text
    assert akin.ItemState.ITEM_STATE_INDEXED == item.state
    assert "" == item.pending_message
    assert item.sequence > 0
    assert timedelta(0) <= item.update_time.ToDatetime(UTC) - before < timedelta(minutes=1)


def test_get_returns_what_upsert_stored(client: akin.Client, prefix: str) -> None:
    """An item comes back from get exactly as the upsert replied it, attributes and all."""
    stored = client.upsert_item(f"{prefix}é/🙂", "Warm rice pudding with cinnamon", JSON).item
    got = client.get_item(f"{prefix}é/🙂")
    assert stored == got
    assert akin.item("x", "y", JSON).attributes == got.attributes


def test_upsert_tells_what_embedding_took(client: akin.Client, prefix: str) -> None:
    """A text is embedded once: neither unchanged nor under another id does it cost again."""
    text = f"A lemon tart with a crisp crust, {prefix}"
    first = client.upsert_item(f"{prefix}1", text)
    again = client.upsert_item(f"{prefix}1", text, {"price": 3})
    other = client.upsert_item(f"{prefix}2", text)
    assert [True, False, False] == [each.embedded for each in (first, again, other)]
    assert akin.EmbeddingUsage(text_count=1, embedded_text_count=1) == first.usage
    assert akin.EmbeddingUsage(text_count=1, cached_text_count=1) == again.usage == other.usage


def test_upsert_replaces(client: akin.Client, prefix: str) -> None:
    """The second upsert of an id replaces text, attributes and sequence, and adds no item."""
    first = client.upsert_item(f"{prefix}1", "A novel about whales", JSON).item
    total = client.list_items(1).total_size
    second = client.upsert_item(f"{prefix}1", "A manual for beekeepers").item
    assert second == client.get_item(f"{prefix}1")
    assert "A manual for beekeepers" == second.text
    assert {} == dict(second.attributes)
    assert second.sequence > first.sequence
    assert total == client.list_items(1).total_size


def test_replaced_text_is_recommended_by_its_new_meaning(client: akin.Client, prefix: str) -> None:
    """After a replacement recommendations go by the new text alone."""
    client.upsert_item(f"{prefix}1", "Polishing antique violins")
    client.upsert_item(f"{prefix}1", "Harvesting olives in autumn")
    (best, *_) = client.recommend_similar(text="Harvesting olives in autumn").recommendations
    assert f"{prefix}1" == best.item_id
    assert pytest.approx(1.0, abs=1e-5) == best.score
    for hit in client.recommend_similar(
        text="Polishing antique violins", limit=1000
    ).recommendations:
        assert hit.item_id != f"{prefix}1" or hit.score < 0.9


def test_import_answers_each_item_in_order(client: akin.Client, prefix: str) -> None:
    """An import of several messages yields one stored result per item, in order."""
    items = [akin.item(f"{prefix}{n:03}", f"Recipe number {n}", {"n": n}) for n in range(600)]
    results = list(client.import_items(items))
    assert [item.item_id for item in items] == [result.item_id for result in results]
    assert {0} == {result.code for result in results}
    assert {akin.ItemState.ITEM_STATE_INDEXED} == {result.state for result in results}
    sequences = [result.sequence for result in results]
    assert sorted(set(sequences)) == sequences
    assert sequences[599] == client.get_item(f"{prefix}599").sequence


def test_import_keeps_the_last_of_one_id(client: akin.Client, prefix: str) -> None:
    """Of two items with one id in an import the later one stays."""
    items = [akin.item(f"{prefix}1", f"Version {number}") for number in range(3)]
    results = list(client.import_items(items))
    assert "Version 2" == client.get_item(f"{prefix}1").text
    assert results[2].sequence == client.get_item(f"{prefix}1").sequence


def test_import_of_nothing(client: akin.Client) -> None:
    """An import without items ends at once without results."""
    assert [] == list(client.import_items([]))


def test_list_walks_every_item_once(client: akin.Client, prefix: str) -> None:
    """Pages of any size hold each item once, by ascending bytes of the id."""
    ids = [f"{prefix}{end}" for end in ("é", "z", "🙂", "A", "a", "ﬀ", "0", "~", "Z", "10", "9")]
    for result in client.import_items(akin.item(each, "A thing in a list") for each in ids):
        assert 0 == result.code
    listed = list(walked(client, 5))
    every_id = [item.item_id for item in listed]
    assert sorted(set(every_id), key=str.encode) == every_id
    assert sorted(ids, key=str.encode) == [each for each in every_id if each.startswith(prefix)]
    assert len(every_id) == client.list_items(1).total_size
    for item in listed:
        if item.item_id.startswith(prefix):
            assert client.get_item(item.item_id) == item


def test_delete(client: akin.Client, prefix: str) -> None:
    """A deleted item is gone from get, list and recommendations, and its delete has a number."""
    text = "Tuning a harpsichord by ear"
    stored = client.upsert_item(f"{prefix}1", text).item
    total = client.list_items(1).total_size
    assert client.delete_item(f"{prefix}1") > stored.sequence
    with pytest.raises(akin.AkinError) as caught:
        client.get_item(f"{prefix}1")
    assert "ITEM_NOT_FOUND" == caught.value.reason
    assert total - 1 == client.list_items(1).total_size
    found = client.recommend_similar(text=text, limit=1000).recommendations
    assert f"{prefix}1" not in {hit.item_id for hit in found}


def test_delete_of_nothing(client: akin.Client, prefix: str) -> None:
    """Deleting an item that is not there fails, unless that is declared fine."""
    assert 0 == client.delete_item(f"{prefix}1", allow_missing=True)
    with pytest.raises(akin.AkinError) as caught:
        client.delete_item(f"{prefix}1")
    assert grpc.StatusCode.NOT_FOUND == caught.value.code
    assert "ITEM_NOT_FOUND" == caught.value.reason


def test_expected_sequence(client: akin.Client, prefix: str) -> None:
    """An upsert with an expected sequence succeeds from that version only, 0 meaning none."""
    first = client.upsert_item(f"{prefix}1", "One", expected_sequence=0).item
    for wrong in (0, first.sequence - 1, first.sequence + 1):
        with pytest.raises(akin.AkinError) as caught:
            client.upsert_item(f"{prefix}1", "Two", expected_sequence=wrong)
        assert grpc.StatusCode.ABORTED == caught.value.code
        assert "SEQUENCE_MISMATCH" == caught.value.reason
    assert first == client.get_item(f"{prefix}1")
    second = client.upsert_item(f"{prefix}1", "Two", expected_sequence=first.sequence).item
    assert second == client.get_item(f"{prefix}1")


def test_expire_time_is_kept(client: akin.Client, prefix: str) -> None:
    """An item that expires later is there until then, with its time to the microsecond."""
    time = datetime.now(UTC).replace(microsecond=123_457) + timedelta(days=1)
    client.upsert_item(f"{prefix}1", "A coupon that ends tomorrow", expire_time=time)
    assert time == client.get_item(f"{prefix}1").expire_time.ToDatetime(UTC)
    (best, *_) = client.recommend_similar(text="A coupon that ends tomorrow").recommendations
    assert f"{prefix}1" == best.item_id


def test_expired_item_is_gone(client: akin.Client, prefix: str) -> None:
    """Once its time has come an item is in no answer any more."""
    text = "Fresh bread of this very minute"
    time = datetime.now(UTC) + timedelta(seconds=1.5)
    client.upsert_item(f"{prefix}1", text, expire_time=time)
    with pytest.raises(akin.AkinError) as caught:  # noqa: PT012  (asked until it is gone)
        while datetime.now(UTC) < time + timedelta(seconds=10):
            client.get_item(f"{prefix}1")
    assert "ITEM_NOT_FOUND" == caught.value.reason
    assert datetime.now(UTC) >= time
    found = client.recommend_similar(text=text, limit=1000).recommendations
    assert f"{prefix}1" not in {hit.item_id for hit in found}
    assert f"{prefix}1" not in {item.item_id for item in walked(client, 1000)}
    assert client.upsert_item(f"{prefix}1", text, expected_sequence=0).item.sequence > 0


def test_user_comes_back(client: akin.Client, prefix: str) -> None:
    """A user comes back as stored, with weights of 1 where none were given."""
    response = client.upsert_user(
        f"{prefix}ann",
        ["quiet films", akin.Preference(text="gore", weight=-2)],
        ["no such film", akin.LikedItem(item_id="another", weight=0.5)],
    )
    user = client.get_user(f"{prefix}ann")
    assert response.user == user
    assert [("quiet films", 1.0), ("gore", -2.0)] == [
        (each.text, each.weight) for each in user.preferences
    ]
    assert [("no such film", 1.0), ("another", 0.5)] == [
        (each.item_id, each.weight) for each in user.liked_items
    ]
    assert 2 == response.usage.text_count


def test_user_is_replaced_and_deleted(client: akin.Client, prefix: str) -> None:
    """A second upsert replaces a user; after the delete there is none, and no second delete."""
    client.upsert_user(f"{prefix}ann", ["opera"], ["x"])
    client.upsert_user(f"{prefix}ann", ["ballet"])
    user = client.get_user(f"{prefix}ann")
    assert ["ballet"] == [each.text for each in user.preferences]
    assert [] == list(user.liked_items)
    client.delete_user(f"{prefix}ann")
    for call in (client.get_user, client.delete_user):
        with pytest.raises(akin.AkinError) as caught:
            call(f"{prefix}ann")
        assert grpc.StatusCode.NOT_FOUND == caught.value.code
        assert "USER_NOT_FOUND" == caught.value.reason


def test_default_catalog_has_a_name(
    server: RunningServer, client: akin.Client, prefix: str
) -> None:
    """The catalog without a name is the one called default."""
    stored = client.upsert_item(f"{prefix}1", "A thing of the default catalog").item
    with server.client(catalog="default") as named:
        assert stored == named.get_item(f"{prefix}1")


async def test_async_client_does_it_all(server: RunningServer, prefix: str) -> None:
    """Every call of the asyncio client works against the real server."""
    texts = {f"{prefix}{n}": f"Async story {n} about a {w}" for n, w in enumerate(["cat", "dog"])}
    async with akin.AsyncClient(server.address) as client:
        assert await client.is_serving()
        items = [akin.item(item_id, text) for item_id, text in texts.items()]
        results = [result async for result in client.import_items(items)]
        assert list(texts) == [result.item_id for result in results]
        stored = (await client.upsert_item(f"{prefix}2", "Async story about a fish")).item
        assert stored == await client.get_item(f"{prefix}2")
        page = await client.list_items(page_size=1)
        assert page.total_size >= 3
        await client.upsert_user(f"{prefix}ann", ["a story about a cat"], [f"{prefix}1"])
        assert f"{prefix}ann" == (await client.get_user(f"{prefix}ann")).user_id
        answer = await client.recommend_similar(user_id=f"{prefix}ann", limit=1000)
        assert f"{prefix}1" not in {hit.item_id for hit in answer.recommendations}
        await client.delete_user(f"{prefix}ann")
        assert await client.delete_item(f"{prefix}2") > stored.sequence
        with pytest.raises(akin.AkinError) as caught:
            await client.get_item(f"{prefix}2")
    assert "ITEM_NOT_FOUND" == caught.value.reason


async def run_together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run calls, some at a time: more of them at once may be refused on a busy machine."""
    places = asyncio.Semaphore(CONCURRENT_CALLS)

    async def run(call: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await call

    return await asyncio.gather(*map(run, calls))


async def test_concurrent_writes_all_count(server: RunningServer, prefix: str) -> None:
    """Writes at the same time get numbers of their own, and can be read as soon as answered."""

    async def write(client: akin.AsyncClient, number: int) -> akin.Item:
        stored = (await client.upsert_item(f"{prefix}{number}", distinct(number))).item
        answer = await client.recommend_similar(item_id=stored.item_id, limit=1)
        assert answer.sequence >= stored.sequence
        assert stored == await client.get_item(stored.item_id)
        return stored

    async with akin.AsyncClient(server.address) as client:
        written = await run_together([write(client, number) for number in range(200)])
    assert 200 == len({item.sequence for item in written})


async def test_deletes_count_as_soon_as_answered(server: RunningServer, prefix: str) -> None:
    """Once its delete is answered no recommendation has the item, whatever else goes on."""

    async def vanish(client: akin.AsyncClient, number: int) -> None:
        item_id, text = f"{prefix}{number}", f"{distinct(number)} {prefix}"
        await client.upsert_item(item_id, text)
        sequence = await client.delete_item(item_id)
        answer = await client.recommend_similar(text=text, limit=50)
        assert answer.sequence >= sequence
        assert item_id not in {hit.item_id for hit in answer.recommendations}

    async with akin.AsyncClient(server.address) as client:
        await run_together([vanish(client, number) for number in range(100)])
