import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.batchers import collect
from support.clock import FakeClock
from support.embedders import COST_USD_PER_TOKEN, HeldEmbedder, WordEmbedder
from support.paid import make_requests, make_sender, spend
from support.stores import GIVE_UP_SECONDS, opened

from service import errors
from service.domain.claims import Reservation
from service.domain.usage import TokenUsage, format_utc_day
from service.embedding.budget import BatchTooCostly, Budget, RequestPrices
from service.embedding.embedder import EmbeddedText, Embeddings
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestSender
from service.embedding.retries import RetryingEmbedder

DAY_US = 24 * 3600 * 1_000_000

SHORT_SECONDS = 0.02


def prices(*costs: tuple[int, float]) -> RequestPrices:
    """Return prices learned from requests of these tokens and US dollars."""
    learned = RequestPrices()
    for tokens, cost_usd in costs:
        learned.learn(tokens, cost_usd)
    return learned


def test_the_price_of_a_token_is_that_of_requests_of_the_size() -> None:
    """A fee for each request does not make the tokens of a large request expensive."""
    learned = prices((10, 0.01), (1_000, 0.012))
    assert pytest.approx(0.01) == learned.estimate(10)
    assert pytest.approx(0.012) == learned.estimate(1_000)
    assert pytest.approx(0.024) == learned.estimate(2_000)


def test_an_unknown_price_is_no_estimate() -> None:
    """Before the first response there is no estimate, and then for every size."""
    assert RequestPrices().estimate(10) is None
    assert pytest.approx(0.001) == prices((1_000, 1.0)).estimate(1)


def test_a_high_price_is_forgotten() -> None:
    """A single request at a high price does not raise the estimates for good."""
    learned = prices((10, 1.0), *[(10, 0.01)] * 100)
    estimate = learned.estimate(10)
    assert estimate is not None
    assert 0.01 == pytest.approx(estimate)
    assert 0.9 == pytest.approx(prices((10, 1.0), (10, 0.01)).estimate(10))


def test_the_first_request_reserves_all_that_remains() -> None:
    """Until a response shows the price, no other request may use the budget."""
    budget = Budget(1.0)
    assert Reservation(0.0, 0.5) == budget.reserve(RequestPrices(), 10, 0.25, 0.25)
    assert budget.reserve(prices((10, 0.1)), 10, 0.25, 0.75) is None
    assert budget.reserve(RequestPrices(), 10, 0.25, 0.75) is None


def test_a_request_beyond_the_rest_of_the_budget_may_be_split() -> None:
    """A request that the budget would suffice for if it were smaller says so."""
    budget, known = Budget(1.0), prices((10, 0.1))
    with pytest.raises(BatchTooCostly):
        budget.reserve(known, 60, 0.5, 0.0)
    with pytest.raises(errors.BudgetSpent) as caught:
        budget.reserve(known, 1, 1.0, 0.0)
    assert not isinstance(caught.value, BatchTooCostly)


async def test_usage_adds_up_by_day(tmp_path: Path) -> None:
    """Tokens and US dollars are summed for each day in UTC, across restarts."""
    clock = FakeClock()
    first_day = format_utc_day(clock())
    async with opened(tmp_path, clock) as (stores, _):
        sender = make_sender(make_requests(stores))
        await spend(sender, 0.5, 10)
        await spend(sender, 0.25, 5)
    async with opened(tmp_path, clock) as (stores, _):
        sender = make_sender(make_requests(stores))
        await spend(sender, 0.25, 1)
        clock.advance(microseconds=DAY_US)
        await spend(sender, 0.125, 7)
        expected = {format_utc_day(clock()): TokenUsage(7, 0.125), first_day: TokenUsage(16, 1.0)}
        assert expected == await stores.usage.list_days(31)
        assert [format_utc_day(clock())] == list(await stores.usage.list_days(1))


async def test_a_spent_budget_stops_embedding_until_the_next_day(tmp_path: Path) -> None:
    """A spent budget stops embedding until the next day, even after a restart."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        sender = make_sender(make_requests(stores, 1.0))
        await spend(sender, 1.0)
        with pytest.raises(errors.BudgetSpent, match="1 US dollars"):
            await spend(sender, 0.0)
    async with opened(tmp_path, clock) as (stores, _):
        sender = make_sender(make_requests(stores, 1.0))
        with pytest.raises(errors.BudgetSpent):
            await spend(sender, 0.0)
        clock.advance(microseconds=DAY_US)
        await spend(sender, 0.0)


async def test_no_budget_is_no_bound(tmp_path: Path) -> None:
    """Without a budget the cost is unbounded; a budget of 0 allows nothing."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        unbounded = make_sender(make_requests(stores))
        await spend(unbounded, 1e9)
        await spend(unbounded, 1e9)
        with pytest.raises(errors.BudgetSpent):
            await spend(make_sender(make_requests(stores, 0.0)), 0.0)


async def test_requests_under_way_do_not_exceed_the_budget(tmp_path: Path) -> None:
    """Many requests at once cost no more than the budget, and use what they can of it."""
    clock = FakeClock()
    embedder = HeldEmbedder()
    cost_usd = 3 * COST_USD_PER_TOKEN
    texts = [f"tea and {number}" for number in range(20)]
    async with opened(tmp_path, clock) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        requests = make_requests(stores, 4.5 * cost_usd)
        metered = RetryingEmbedder(embedder, RateController(20), requests)
        callers = [asyncio.create_task(collect(metered, [text])) for text in texts]
        await embedder.held.wait()
        embedder.release()
        outcomes = [outcome for caller in callers for outcome in (await caller).values()]
        usage = (await stores.usage.list_days(1))[format_utc_day(clock())]
    assert usage.cost_usd <= 4.5 * cost_usd
    embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedText)]
    assert 3 <= len(embedded) <= 4
    assert 20 - len(embedded) == sum(isinstance(each, errors.BudgetSpent) for each in outcomes)


async def test_a_batch_beyond_the_rest_of_the_budget_is_split(tmp_path: Path) -> None:
    """The texts of a batch that the budget suffices for are embedded, and the others are not."""
    embedder = WordEmbedder()
    texts = [f"tea and {number}" for number in range(16)]
    async with opened(tmp_path, FakeClock()) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        requests = make_requests(stores, 12 * COST_USD_PER_TOKEN)
        metered = RetryingEmbedder(embedder, RateController(1), requests)
        await collect(metered, ["tea and cake"])
        outcomes = await collect(metered, texts)
    embedded = [text for text, each in outcomes.items() if isinstance(each, EmbeddedText)]
    assert 2 <= len(embedded) <= 3
    assert len(embedded) + 1 == len(embedder.texts)
    failures = [outcome for outcome in outcomes.values() if isinstance(outcome, errors.AkinError)]
    assert {"BUDGET_SPENT"} == {failure.reason for failure in failures}


async def test_waiting_for_the_budget_is_not_a_timeout(tmp_path: Path) -> None:
    """A request with a timeout may wait longer than that for requests under way to end."""
    embedder = HeldEmbedder(free_batches=1)
    async with opened(tmp_path, FakeClock()) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        requests = make_requests(stores, 4 * COST_USD_PER_TOKEN)
        sender = RequestSender(embedder, RateController(3), requests, None)
        await sender.send(["tea"])
        holder = asyncio.create_task(sender.send(["wordwordword"]))
        await embedder.held.wait()
        waiter = asyncio.create_task(sender.send(["cake"], timeout_seconds=SHORT_SECONDS))
        # Longer than the timeout, and measured by the same clock.
        await asyncio.wait([waiter], timeout=5 * SHORT_SECONDS)
        embedder.release()
        assert [EmbeddedText] == [type(outcome) for outcome in await waiter]
        await holder


async def test_a_failed_request_returns_its_reservation(tmp_path: Path) -> None:
    """A request without a response costs nothing, and the next one may be sent."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        sender = make_sender(make_requests(stores, 1.0))
        await spend(sender, 0.5)

        async def fail(_texts: Sequence[str]) -> Embeddings:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await sender.send_probe("any", fail)
        await spend(sender, 0.5)


async def test_a_metered_embedder_records_each_batch(tmp_path: Path) -> None:
    """The usage of each batch is recorded, and no batch is sent once the budget is spent."""
    clock = FakeClock()
    embedder = WordEmbedder()
    async with opened(tmp_path, clock) as (stores, _):
        requests = make_requests(stores, 3 * COST_USD_PER_TOKEN)
        metered = RetryingEmbedder(embedder, RateController(1), requests)
        await collect(metered, ["tea and cake"])
        outcomes = await collect(metered, ["more"])
        assert isinstance(outcomes["more"], errors.BudgetSpent)
        usage = (await stores.usage.list_days(31))[format_utc_day(clock())]
    assert 3 == usage.prompt_tokens
    assert pytest.approx(3 * COST_USD_PER_TOKEN) == usage.cost_usd
    assert [("tea and cake",)] == embedder.batches
