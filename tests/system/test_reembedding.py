import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import akin
import numpy as np
import pytest
from akin.v1 import catalog_service_pb2 as pb
from support.provider import (
    DIMENSIONS,
    USD_PER_TOKEN,
    Reply,
    ScriptedProvider,
    failure,
    success,
    vector,
)
from support.server import WAIT_SECONDS, RunningServer
from support.stores import rows
from support.waiting import until

NEW = "someone/new"
WIDTH = 16
ITEMS = 600
INDEXED = akin.ItemState.ITEM_STATE_INDEXED
SWITCHED = pb.REEMBEDDING_STATE_SERVING


def settings(provider: ScriptedProvider, **others: str) -> dict[str, str]:
    return {
        "OPENROUTER_API_KEY": "sk-or-test",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/old",
        **others,
    }


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


def text(number: int) -> str:
    return f"the story of number {number}"


def fill(client: akin.Client, number: int = ITEMS) -> None:
    items = (akin.item(f"i{each}", text(each)) for each in range(number))
    assert {0} == {result.code for result in client.import_items(items)}


def similarity(first: str, second: str, width: int) -> float:
    """The cosine of two texts in the space of this width."""
    one, two = (np.array(vector(each, width)) for each in (first, second))
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def spaces(
    question: str, response: akin.RecommendSimilarResponse, known: Mapping[str, str]
) -> set[int]:
    """The widths of the spaces that an answer's scores are of."""
    found = set()
    for hit in response.recommendations:
        for width in (DIMENSIONS, WIDTH):
            if abs(hit.score - similarity(question, known[hit.item_id], width)) < 1e-4:
                found.add(width)
    return found


def moved(client: akin.Client) -> None:
    """Waits until the catalog is served by its new vectors."""
    until(lambda: client.get_reembedding().state == SWITCHED)


class Load:
    """One thread that writes items and one that asks, until they are stopped."""

    def __init__(self, server: RunningServer) -> None:
        self.written: dict[str, str] = {f"i{each}": text(each) for each in range(ITEMS)}
        self.answers: list[akin.RecommendSimilarResponse] = []
        self.failures: list[BaseException] = []
        self._end = threading.Event()
        works = (self._write, self._ask)
        self._threads = [
            threading.Thread(target=self._until_end, args=(server, each)) for each in works
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends both and waits for them."""
        self._end.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)

    def _until_end(self, server: RunningServer, work: Callable[[akin.Client, int], None]) -> None:
        with server.client() as client:
            number = 0
            while not self._end.is_set():
                try:
                    work(client, number)
                except Exception as exc:  # noqa: BLE001  (none may happen)
                    self.failures.append(exc)
                number += 1

    def _write(self, client: akin.Client, number: int) -> None:
        item_id = f"w{number}" if number % 3 else f"i{number}"
        words = f"new words {number}"
        self.written[item_id] = words
        written = client.upsert_item(item_id, words)
        found = client.recommend_similar(text=words, limit=1, min_sequence=written.item.sequence)
        assert [item_id] == [hit.item_id for hit in found.recommendations]

    def _ask(self, client: akin.Client, _number: int) -> None:
        self.answers.append(client.recommend_similar(text="a question", limit=5))


def test_a_catalog_moves_under_load(tmp_path: Path, provider: ScriptedProvider) -> None:
    """No call fails, no answer mixes spaces, all writes stay, nothing is paid for twice."""
    with (
        RunningServer(tmp_path, **settings(provider)) as server,
        server.client() as client,
    ):
        fill(client)
        client.upsert_user("u", ["a taste"])
        estimate = client.estimate_reembedding(model=NEW, dimensions=WIDTH)
        assert (ITEMS, 0, WIDTH) == (
            estimate.text_count,
            estimate.cached_text_count,
            estimate.space.dimensions,
        )
        load = Load(server)
        begun = client.start_reembedding(model=NEW, dimensions=WIDTH)
        assert (DIMENSIONS, WIDTH) == (begun.from_space.dimensions, begun.to_space.dimensions)
        moved(client)
        asked_before = len(load.answers)
        until(lambda: len(load.answers) > asked_before + 10)
        load.end()
        assert [] == load.failures
        widths = [width_of(answer, load.written) for answer in load.answers]
        assert sorted(widths, reverse=True) == widths
        assert {DIMENSIONS, WIDTH} == set(widths)
        stored = {each.item_id: each.text for each in listed(client)}
        assert load.written == stored
        assert [] == list(client.get_catalog().pending_items)
        done = client.get_reembedding()
        assert len(stored) == done.item_count == done.embedded_item_count
        assert 0 < done.prompt_token_count
        assert done.prompt_token_count * USD_PER_TOKEN == pytest.approx(done.cost_usd, rel=0.01)
        sent = [each for r in provider.requests if r["model"] == NEW for each in r["input"]]
        sent.remove("akin")
        sent.remove("akin")
        assert len(set(sent)) == len(sent)
        client.rollback_reembedding()
        response = client.recommend_similar(user_id="u", limit=5)
        assert 5 == len(response.recommendations)
        answer = client.recommend_similar(text="a question", limit=5)
        assert {DIMENSIONS} == spaces("a question", answer, stored)
        newest = f"new words {max(int(each[1:]) for each in stored if each.startswith('w'))}"
        (first,) = client.recommend_similar(text=newest, limit=1).recommendations
        assert newest == stored[first.item_id]


def width_of(answer: akin.RecommendSimilarResponse, texts: Mapping[str, str]) -> int:
    """The width of the one space that all scores of an answer are of, by any text items had."""
    possible = {DIMENSIONS, WIDTH}
    for hit in answer.recommendations:
        words = [texts[hit.item_id]]
        if hit.item_id.startswith("i"):
            words.append(text(int(hit.item_id[1:])))
        possible &= {
            width
            for width in possible
            for each in words
            if abs(hit.score - similarity("a question", each, width)) < 1e-4
        }
    (width,) = possible
    return width


def listed(client: akin.Client) -> list[akin.Item]:
    items: list[akin.Item] = []
    token = ""
    while True:
        page = client.list_items(1000, token)
        items += page.items
        token = page.next_page_token
        if not token:
            return items


class AdmissionControl:
    """A provider's answers to the new model: some at once, further ones once it is opened."""

    def __init__(self, at_once: int) -> None:
        self.opened = threading.Event()
        self.answered: list[str] = []
        self._left = at_once
        self._lock = threading.Lock()

    def __call__(self, request: Mapping[str, Any]) -> Reply | None:
        """Answers a request."""
        if request["model"] == NEW:
            with self._lock:
                self._left -= 1
                waits = self._left < 0
            if waits:
                self.opened.wait(WAIT_SECONDS)
            with self._lock:
                self.answered += request["input"]
        return success(request)


def test_a_kill_in_the_middle_costs_nothing(tmp_path: Path, provider: ScriptedProvider) -> None:
    """After kill -9 re-embedding goes on by itself, and asks for nothing that was answered."""
    own = settings(provider)
    admission = AdmissionControl(at_once=4)  # the first one looks whether the model is there
    with RunningServer(tmp_path, **own) as server, server.client() as client:
        fill(client)
        provider.otherwise = admission
        client.start_reembedding(model=NEW, dimensions=WIDTH)
        until(
            lambda: len(admission.answered) > 1 and len(admission.answered) - 1 == stored(tmp_path)
        )
        answered = set(admission.answered[1:])
        server.kill()
    assert 0 < len(answered) < ITEMS
    admission.opened.set()
    before = len(provider.requests)
    with RunningServer(tmp_path, **own) as server, server.client() as client:
        moved(client)
        again = [each for r in provider.requests[before:] for each in r["input"]]
        assert set() == answered & set(again)
        assert ITEMS == client.get_reembedding().embedded_item_count
        client.commit_reembedding()
        with pytest.raises(akin.AkinError) as caught:
            client.get_reembedding()
        assert "REEMBEDDING_NOT_FOUND" == caught.value.reason
        assert 0 == server.stop()
    with RunningServer(tmp_path, **own) as server, server.client() as client:
        assert (NEW, WIDTH) == (
            client.get_catalog().space.model,
            client.get_catalog().space.dimensions,
        )
        assert {WIDTH} == spaces(
            "q", client.recommend_similar(text="q"), {f"i{n}": text(n) for n in range(ITEMS)}
        )
        until(lambda: rows(tmp_path / "data", "SELECT count(*) FROM generations") == [(1,)])


def stored(folder: Path) -> int:
    (number,) = rows(folder / "data", "SELECT count(*) FROM item_vectors WHERE generation_id = 2")[
        0
    ]
    return int(number)


def test_an_outage_delays_and_breaks_nothing(tmp_path: Path, provider: ScriptedProvider) -> None:
    """While the new model fails the old one serves; once it works again the move completes."""

    def broken(request: Mapping[str, Any]) -> Reply | None:
        down = request["model"] == NEW and request["input"] != ["akin"]
        return failure(503)(request) if down else success(request)

    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        fill(client, 100)
        provider.otherwise = broken
        client.start_reembedding(model=NEW, dimensions=WIDTH)
        until(lambda: client.get_reembedding().error_reason != "")
        written = client.upsert_item("late", "late words")
        assert akin.ItemState.ITEM_STATE_INDEXED == written.item.state
        found = client.recommend_similar(text="late words", limit=1)
        assert ["late"] == [hit.item_id for hit in found.recommendations]
        assert [] == list(client.get_catalog().pending_items)
        provider.otherwise = success
        moved(client)
        assert (101, "") == (
            client.get_reembedding().embedded_item_count,
            client.get_reembedding().error_reason,
        )
        found = client.recommend_similar(text="late words", limit=1)
        assert ["late"] == [hit.item_id for hit in found.recommendations]


def test_the_budget_holds_for_re_embedding(tmp_path: Path, provider: ScriptedProvider) -> None:
    """With the day's budget spent, no more requests are sent, and the reason is reported."""
    tokens = 100 * len(text(0).split())
    budget = f"{1.5 * tokens * USD_PER_TOKEN:.10f}"
    own = settings(provider, EMBEDDING_BUDGET_USD_PER_DAY=budget)
    with RunningServer(tmp_path, **own) as server, server.client() as client:
        fill(client, 100)
        # Cheap by the estimate, so that it is sent, but its cost exceeds the rest of the budget.
        assert INDEXED == client.upsert_item("more", "a " * tokens).item.state
        client.start_reembedding(model=NEW, dimensions=WIDTH)
        until(lambda: "BUDGET_SPENT" == client.get_reembedding().error_reason)
        assert ["akin"] == [
            each for r in provider.requests if r["model"] == NEW for each in r["input"]
        ]


def test_re_embedding_has_an_order(tmp_path: Path, provider: ScriptedProvider) -> None:
    """What cannot be done now is refused with a reason of its own, and bad choices by field."""

    def reason(work: Callable[[], object]) -> str:
        with pytest.raises(akin.AkinError) as caught:
            work()
        return caught.value.reason

    admission = AdmissionControl(at_once=2)
    with RunningServer(tmp_path, **settings(provider)) as server, server.client() as client:
        fill(client, 10)
        assert "REEMBEDDING_NOT_FOUND" == reason(client.get_reembedding)
        assert "REEMBEDDING_NOT_FOUND" == reason(client.cancel_reembedding)
        assert "REEMBEDDING_NOT_FOUND" == reason(client.commit_reembedding)
        assert "REEMBEDDING_NOT_FOUND" == reason(client.rollback_reembedding)
        assert "ALREADY_EMBEDDED" == reason(client.start_reembedding)
        assert "INVALID_REQUEST" == reason(lambda: client.start_reembedding(dimensions=-1))
        assert "INVALID_REQUEST" == reason(lambda: client.estimate_reembedding(template="none"))
        provider.otherwise = lambda request: success({**request, "dimensions": 8})
        assert "EMBEDDING_REJECTED" == reason(
            lambda: client.start_reembedding(model=NEW, dimensions=WIDTH)
        )
        provider.otherwise = admission
        client.start_reembedding(model=NEW, dimensions=WIDTH)
        assert "REEMBEDDING_UNDER_WAY" == reason(client.commit_reembedding)
        assert "REEMBEDDING_UNDER_WAY" == reason(client.rollback_reembedding)
        assert "REEMBEDDING_UNDER_WAY" == reason(
            lambda: client.start_reembedding(model="someone/third")
        )
        admission.opened.set()
        moved(client)
        assert "REEMBEDDING_NOT_COMMITTED" == reason(
            lambda: client.start_reembedding(model="someone/third")
        )
        assert "REEMBEDDING_NOT_COMMITTED" == reason(client.cancel_reembedding)
        client.commit_reembedding()
        estimate = client.estimate_reembedding(provider="local")
        assert (10, 0, 0.0) == (estimate.text_count, estimate.cached_text_count, estimate.cost_usd)
        client.start_reembedding(provider="local")
        moved(client)
        assert "local" == client.get_catalog().space.provider


def test_workers_move_together(tmp_path: Path, provider: ScriptedProvider) -> None:
    """After the switch every worker answers from the new vectors, and goes back like the others."""
    known = {f"i{n}": text(n) for n in range(100)}
    with (
        RunningServer(tmp_path, **settings(provider, WORKERS="2")) as server,
        server.client() as client,
        ExitStack() as stack,
    ):
        fill(client, 100)
        clients = [stack.enter_context(server.client()) for _ in range(10)]

        def widths() -> Sequence[set[int]]:
            return [spaces("q", each.recommend_similar(text="q"), known) for each in clients]

        client.start_reembedding(model=NEW, dimensions=WIDTH)
        moved(client)
        until(lambda: widths() == [{WIDTH}] * 10)
        client.rollback_reembedding()
        until(lambda: widths() == [{DIMENSIONS}] * 10)
