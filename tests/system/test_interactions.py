import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import interaction_service_pb2 as pb
from akin.v1.interaction_service_pb2_grpc import InteractionServiceStub
from support.command import run
from support.rejections import RawClient, translated
from support.server import WAIT_SECONDS, RunningServer
from support.stores import rows
from support.waiting import until

START = datetime(2026, 1, 2, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# More than three transactions of a deletion.
MANY = 6_500


def view(user_id: str, number: int = 0) -> akin.Interaction:
    """Return a view of one of a user's items; views with other numbers have other times."""
    return akin.interaction(user_id, f"item-{number % 7}", "VIEW", START + number * MICROSECOND)


def list_all(
    client: akin.Client, user_id: str = "", page_size: int = 1_000
) -> list[akin.Interaction]:
    """Return the interactions on all pages, which must be as many as each page says."""
    interactions: list[akin.Interaction] = []
    totals = set()
    token = ""
    while True:
        page = client.list_interactions(page_size, token, user_id=user_id)
        assert len(page.interactions) <= (page_size or 100)
        interactions += page.interactions
        totals.add(page.total_size)
        token = page.next_page_token
        if not token:
            assert {len(interactions)} == totals
            return interactions


def record(client: akin.Client, *interactions: akin.Interaction) -> tuple[int, int]:
    """Record interactions, and return how many were recorded and how many were duplicates."""
    response = client.record_interactions(interactions)
    assert (response.sequence > 0) == (response.recorded_count > 0)
    return response.recorded_count, response.duplicate_count


@pytest.fixture
def store(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[akin.Client]:
    """A client of a catalog of the test's own."""
    name = request.node.name.partition("[")[0].removeprefix("test_")[:50]
    with server.client(catalog=name) as client:
        client.create_catalog(name)
        yield client
        client.delete_catalog(name)


def test_users_and_items_need_not_exist(store: akin.Client) -> None:
    """Interactions of unknown users with unknown items are recorded, and create neither."""
    interaction = akin.interaction(
        "nobody", "nothing", "PURCHASE", START, interaction_id="1", value=0.0
    )
    assert (1, 0) == record(store, interaction)
    assert [interaction] == list_all(store)
    assert (0, 0) == (store.get_catalog().item_count, store.get_catalog().user_count)
    with pytest.raises(akin.AkinError) as caught:
        store.get_user("nobody")
    assert "USER_NOT_FOUND" == caught.value.reason


def test_interactions_stay_if_their_user_or_item_is_deleted(store: akin.Client) -> None:
    """The deletion of a user or an item deletes no interaction."""
    store.upsert_user("u", liked_items=["item-0"])
    store.upsert_item("item-0", "green tea")
    record(store, view("u"))
    store.delete_user("u")
    store.delete_item("item-0")
    assert [view("u")] == list_all(store, "u")


def test_a_time_has_microseconds(store: akin.Client) -> None:
    """A time is stored in microseconds, so that times within one are the same."""
    first = view("u")
    first.time.nanos = 1_999
    second = view("u")
    second.time.nanos = 1_000
    assert (1, 1) == record(store, first, second)
    assert [second] == list_all(store)


@pytest.mark.parametrize("interaction_id", ["", "x"])
def test_repeated_calls_record_once(store: akin.Client, interaction_id: str) -> None:
    """Of the same call from several callers at the same time, only one records."""
    interactions = [view("u", number) for number in range(20)]
    for number, interaction in enumerate(interactions):
        interaction.interaction_id = interaction_id and f"{interaction_id}{number}"
    ready = threading.Barrier(4)

    def record_at_once(_: int) -> tuple[int, int]:
        ready.wait(WAIT_SECONDS)
        return record(store, *interactions)

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(record_at_once, range(4)))
    assert [(0, 20)] * 3 + [(20, 0)] == sorted(counts)
    assert interactions == list_all(store)


def test_a_call_records_at_most_1000(store: akin.Client) -> None:
    """A call records 1,000 interactions, and fails with one more."""
    interactions = [view("u", number) for number in range(1_001)]
    assert (1_000, 0) == record(store, *interactions[:1_000])
    with pytest.raises(akin.AkinError) as caught:
        store.record_interactions(interactions)
    assert ["interactions"] == [violation.field for violation in caught.value.violations]
    assert interactions[:1_000] == list_all(store)


def test_one_invalid_interaction_refuses_all(store: akin.Client) -> None:
    """If one interaction is invalid, none of the call is recorded."""
    with pytest.raises(akin.AkinError) as caught:
        store.record_interactions([view("u"), view(""), view("v")])
    assert ["interactions[1].user_id"] == [each.field for each in caught.value.violations]
    assert [] == list_all(store)


@pytest.mark.parametrize("page_size", [0, 1, 7, 1_000])
def test_pages_have_every_interaction_once(store: akin.Client, page_size: int) -> None:
    """Pages have the interactions by user and time, each once, of one user or of all."""
    expected = [view(user_id, number) for user_id in "abc" for number in range(40)]
    record(store, *expected[::-1])
    assert expected == list_all(store, page_size=page_size)
    assert expected[40:80] == list_all(store, "b", page_size)
    assert [] == list_all(store, "d", page_size)


def test_pages_go_on_while_interactions_change(store: akin.Client) -> None:
    """A list goes on behind its last interaction, also after that one was deleted."""
    record(store, view("a"), view("b"), view("c"), view("d"))
    page = store.list_interactions(2)
    store.delete_interactions("b")
    record(store, view("a", 1), view("c", 1))
    rest = store.list_interactions(10, page.next_page_token)
    assert [view("c"), view("c", 1), view("d")] == list(rest.interactions)
    assert 5 == rest.total_size


def test_all_interactions_of_a_user_are_deleted(store: akin.Client) -> None:
    """However many interactions a user has, one call deletes them and no others."""
    assert MANY == import_all(store, [view("u", number) for number in range(MANY)])
    record(store, view("t"), view("v"))
    deletion = store.delete_interactions("u")
    assert (MANY, store.get_catalog().sequence) == (deletion.deleted_count, deletion.sequence)
    page = store.list_interactions(user_id="u", min_sequence=deletion.sequence)
    assert (0, 0) == (len(page.interactions), page.total_size)
    assert [view("t"), view("v")] == list_all(store)
    again = store.delete_interactions("u")
    assert (0, 0) == (again.deleted_count, again.sequence)
    assert (1, 0) == record(store, view("u"))


def test_a_list_reflects_the_write_in_min_sequence(store: akin.Client) -> None:
    """A list with the sequence number of a write has it; one of the future is invalid."""
    sequence = store.record_interactions([view("u")]).sequence
    assert [view("u")] == list(store.list_interactions(min_sequence=sequence).interactions)
    with pytest.raises(akin.AkinError) as caught:
        store.list_interactions(min_sequence=sequence + 1_000_000)
    assert ["min_sequence"] == [violation.field for violation in caught.value.violations]


def import_all(client: akin.Client, interactions: Sequence[akin.Interaction]) -> int:
    """Import interactions, none of which is invalid, and return how many were recorded."""
    responses = list(client.import_interactions(interactions))
    assert [] == [failure for response in responses for failure in response.failures]
    return sum(response.recorded_count for response in responses)


def test_an_import_reports_invalid_interactions(store: akin.Client) -> None:
    """An import records all but the invalid interactions, which it reports by their positions."""
    interactions = [view("u", number) for number in range(600)]
    for position in (0, 249, 250, 599):
        interactions[position].item_id = ""
    responses = list(store.import_interactions([*interactions, interactions[1]]))
    failures = [failure for response in responses for failure in response.failures]
    assert [0, 249, 250, 599] == [failure.position for failure in failures]
    assert {(grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_REQUEST")} == {
        (failure.code, failure.reason) for failure in failures
    }
    assert all("item_id" in failure.message for failure in failures)
    assert (596, 1) == (
        sum(response.recorded_count for response in responses),
        sum(response.duplicate_count for response in responses),
    )
    assert [each for each in interactions if each.item_id] == list_all(store)


def test_a_validating_import_records_nothing(store: akin.Client) -> None:
    """An import that only validates reports failures, and records nothing."""
    (response,) = store.import_interactions([view("u"), view("")], validate_only=True)
    assert [1] == [failure.position for failure in response.failures]
    assert (0, 0) == (response.sequence, response.recorded_count)
    assert [] == list_all(store)


def test_an_import_into_no_catalog_fails(client: akin.Client, server: RunningServer) -> None:
    """An import into a catalog that does not exist ends with NOT_FOUND, even if it validates."""
    with server.client(catalog="nowhere") as lost:
        for validate_only in (False, True):
            with pytest.raises(akin.AkinError) as caught:
                list(lost.import_interactions([view("u")], validate_only=validate_only))
            assert "CATALOG_NOT_FOUND" == caught.value.reason
    assert [] == list_all(client, "u")


def test_each_message_of_an_import_names_its_catalog(
    store: akin.Client, client: akin.Client, raw: RawClient, prefix: str
) -> None:
    """The messages of one import can be for several catalogs; a deleted one ends the import."""
    name, user_id = store.get_catalog().name, prefix
    client.create_catalog("short-lived")
    go_on = threading.Event()

    def messages() -> Iterator[pb.ImportInteractionsRequest]:
        for catalog in (name, "", "short-lived"):
            yield pb.ImportInteractionsRequest(catalog=catalog, interactions=[view(user_id)])
        go_on.wait(WAIT_SECONDS)
        yield pb.ImportInteractionsRequest(catalog="short-lived", interactions=[view(user_id, 1)])
        yield pb.ImportInteractionsRequest(catalog=name, interactions=[view(user_id, 1)])

    responses = InteractionServiceStub(raw.channel).ImportInteractions(messages())
    assert [1, 1, 1] == [next(responses).recorded_count for _ in range(3)]
    client.delete_catalog("short-lived")
    go_on.set()
    with pytest.raises(akin.AkinError) as caught, translated():
        next(responses)
    assert "CATALOG_NOT_FOUND" == caught.value.reason
    assert [view(user_id)] == list_all(store) == list_all(client, user_id)
    client.delete_interactions(user_id)


def test_a_deleted_catalog_leaves_no_interactions(tmp_path: Path) -> None:
    """The rows of a deleted catalog are removed from the disk, and those of others stay."""
    query = "SELECT count(*), min(user_id) FROM interactions"
    with RunningServer(tmp_path) as server:
        with server.client(catalog="gone") as gone, server.client() as client:
            client.create_catalog("gone")
            assert MANY == import_all(gone, [view("u", number) for number in range(MANY)])
            record(client, view("v"))
            client.delete_catalog("gone")
            client.create_catalog("gone")
            assert [] == list_all(gone)
            until(lambda: rows(tmp_path / "data", query) == [(1, "v")])


def test_interactions_survive_a_kill_and_are_in_backups(tmp_path: Path) -> None:
    """Acknowledged interactions are there after kill -9, and in a restored backup."""
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "copy"
    old.mkdir()
    new.mkdir()
    recorded = [
        akin.interaction("u", "a", "LIKE", START, interaction_id="x", value=4.5),
        view("u", 1),
    ]
    with RunningServer(old) as server, server.client() as client:
        record(client, *recorded)
        server.kill()
    with RunningServer(old) as server, server.client() as client:
        assert recorded == list_all(client)
        assert (0, 2) == record(client, *recorded)
        assert 0 == run("backup", file, folder=old).status
    assert 0 == run("restore", file, folder=new).status
    with RunningServer(new) as server, server.client() as client:
        assert recorded == list_all(client)
        assert (1, 2) == record(client, *recorded, view("u", 2))


def test_workers_record_once_and_read_each_others_writes(tmp_path: Path) -> None:
    """With several processes, an interaction is recorded once, and each process sees it."""
    interactions = [view("u", number) for number in range(50)]
    with RunningServer(tmp_path, WORKERS="2") as server:
        counts = []
        for _ in range(8):  # each on a connection of its own, which any of the processes accepts
            with server.client() as client:
                response = client.record_interactions(interactions)
                counts.append(response.recorded_count)
                sequence = client.get_catalog().sequence
                page = client.list_interactions(min_sequence=sequence)
                assert interactions == list(page.interactions)
    assert [50, *[0] * 7] == counts
