import asyncio
from pathlib import Path

import pytest
from support.batchers import collect
from support.clock import FakeClock
from support.embedders import COST_USD_PER_TOKEN, HeldEmbedder, WordEmbedder
from support.stores import GIVE_UP_SECONDS, opened

from service import errors
from service.domain.usage import TokenUsage
from service.embedding.budget import Budget, format_utc_day
from service.embedding.embedder import EmbeddedText
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestSender
from service.embedding.retries import RetryingEmbedder

DAY_US = 24 * 3600 * 1_000_000

SHORT_SECONDS = 0.02


async def test_usage_adds_up_by_day(tmp_path: Path) -> None:
    """Tokens and US dollars are summed for each day in UTC, across restarts."""
    clock = FakeClock()
    first_day = format_utc_day(clock())
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, None, clock)
        await budget.record(TokenUsage(10, 0.5))
        await budget.record(TokenUsage(5, 0.25))
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, None, clock)
        await budget.record(TokenUsage(1, 0.25))
        clock.advance(microseconds=DAY_US)
        await budget.record(TokenUsage(7, 0.125))
        expected = {format_utc_day(clock()): TokenUsage(7, 0.125), first_day: TokenUsage(16, 1.0)}
        assert expected == await stores.usage.list_days(31)
        assert [format_utc_day(clock())] == list(await stores.usage.list_days(1))


async def spend(budget: Budget, cost_usd: float, tokens: int = 10) -> None:
    """Run a request that costs this much."""
    async with budget.reserve(tokens) as reservation:
        reservation.usage = TokenUsage(tokens, cost_usd)


async def test_a_spent_budget_stops_embedding_until_the_next_day(tmp_path: Path) -> None:
    """A spent budget stops embedding until the next day, even after a restart."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 1.0, clock)
        await spend(budget, 1.0)
        with pytest.raises(errors.BudgetSpent, match="1 US dollars"):
            await spend(budget, 0.0)
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 1.0, clock)
        with pytest.raises(errors.BudgetSpent):
            await spend(budget, 0.0)
        clock.advance(microseconds=DAY_US)
        await spend(budget, 0.0)


async def test_no_budget_is_no_bound(tmp_path: Path) -> None:
    """Without a budget the cost is unbounded; a budget of 0 allows nothing."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        unbounded = Budget(stores.usage, None, clock)
        await spend(unbounded, 1e9)
        await spend(unbounded, 1e9)
        with pytest.raises(errors.BudgetSpent):
            await spend(Budget(stores.usage, 0.0, clock), 0.0)


async def test_requests_under_way_do_not_exceed_the_budget(tmp_path: Path) -> None:
    """Many requests at once cost no more than the budget, and use what they can of it."""
    clock = FakeClock()
    embedder = HeldEmbedder()
    cost_usd = 3 * COST_USD_PER_TOKEN
    texts = [f"tea and {number}" for number in range(20)]
    async with opened(tmp_path, clock) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        budget = Budget(stores.usage, 4.5 * cost_usd, clock)
        metered = RetryingEmbedder(embedder, RateController(20), budget)
        callers = [asyncio.create_task(collect(metered, [text])) for text in texts]
        await embedder.held.wait()
        embedder.release()
        outcomes = [outcome for caller in callers for outcome in (await caller).values()]
        usage = (await stores.usage.list_days(1))[format_utc_day(clock())]
    assert usage.cost_usd <= 4.5 * cost_usd
    embedded = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedText)]
    assert 3 <= len(embedded) <= 4
    assert 20 - len(embedded) == sum(isinstance(each, errors.BudgetSpent) for each in outcomes)


async def test_waiting_for_the_budget_is_not_a_timeout(tmp_path: Path) -> None:
    """A request with a timeout may wait longer than that for requests under way to end."""
    clock = FakeClock()
    embedder = HeldEmbedder(free_batches=1)
    async with opened(tmp_path, clock) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        budget = Budget(stores.usage, 4.5 * COST_USD_PER_TOKEN, clock)
        sender = RequestSender(embedder, RateController(3), budget, None)
        await sender.send(["tea"])
        holder = asyncio.create_task(sender.send(["one two three four"]))
        await embedder.held.wait()
        waiter = asyncio.create_task(sender.send(["tea"], timeout_seconds=SHORT_SECONDS))
        # Longer than the timeout, and measured by the same clock.
        await asyncio.wait([waiter], timeout=5 * SHORT_SECONDS)
        holder.cancel()
        embedder.release()
        assert [EmbeddedText] == [type(outcome) for outcome in await waiter]


async def test_a_failed_request_returns_its_reservation(tmp_path: Path) -> None:
    """A request without a response costs nothing, and the next one may be sent."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 1.0, clock)
        await spend(budget, 0.5)
        with pytest.raises(ZeroDivisionError):
            async with budget.reserve(10):
                raise ZeroDivisionError
        await spend(budget, 0.5)


async def test_a_metered_embedder_records_each_batch(tmp_path: Path) -> None:
    """The usage of each batch is recorded, and no batch is sent once the budget is spent."""
    clock = FakeClock()
    embedder = WordEmbedder()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 3 * COST_USD_PER_TOKEN, clock)
        metered = RetryingEmbedder(embedder, RateController(1), budget)
        await collect(metered, ["tea and cake"])
        outcomes = await collect(metered, ["more"])
        assert isinstance(outcomes["more"], errors.BudgetSpent)
        usage = (await stores.usage.list_days(31))[format_utc_day(clock())]
    assert 3 == usage.prompt_tokens
    assert pytest.approx(3 * COST_USD_PER_TOKEN) == usage.cost_usd
    assert [("tea and cake",)] == embedder.batches
