from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import COST_USD_PER_TOKEN, WordEmbedder
from support.stores import opened

from service import errors
from service.domain.usage import TokenUsage
from service.embedding.budget import Budget, format_utc_day
from service.embedding.rate_control import RateController
from service.embedding.retries import RetryingEmbedder

DAY_US = 24 * 3600 * 1_000_000


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


async def test_a_spent_budget_stops_embedding_until_the_next_day(tmp_path: Path) -> None:
    """A spent budget stops embedding until the next day, even after a restart."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 1.0, clock)
        await budget.check()
        await budget.record(TokenUsage(10, 1.0))
        with pytest.raises(errors.BudgetSpent, match="1 US dollars"):
            await budget.check()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 1.0, clock)
        with pytest.raises(errors.BudgetSpent):
            await budget.check()
        clock.advance(microseconds=DAY_US)
        await budget.check()


async def test_no_budget_is_no_bound(tmp_path: Path) -> None:
    """Without a budget the cost is unbounded; a budget of 0 allows nothing."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        unbounded = Budget(stores.usage, None, clock)
        await unbounded.record(TokenUsage(1, 1e9))
        await unbounded.check()
        with pytest.raises(errors.BudgetSpent):
            await Budget(stores.usage, 0.0, clock).check()


async def test_a_metered_embedder_records_each_batch(tmp_path: Path) -> None:
    """The usage of each batch is recorded, and no batch is sent once the budget is spent."""
    clock = FakeClock()
    embedder = WordEmbedder()
    async with opened(tmp_path, clock) as (stores, _):
        budget = Budget(stores.usage, 3 * COST_USD_PER_TOKEN, clock)
        metered = RetryingEmbedder(embedder, RateController(1), budget)
        await metered.embed(["tea and cake"], lambda _text: True)
        outcomes = await metered.embed(["more"], lambda _text: True)
        assert isinstance(outcomes["more"], errors.BudgetSpent)
        usage = (await stores.usage.list_days(31))[format_utc_day(clock())]
    assert 3 == usage.prompt_tokens
    assert pytest.approx(3 * COST_USD_PER_TOKEN) == usage.cost_usd
    assert [("tea and cake",)] == embedder.batches
