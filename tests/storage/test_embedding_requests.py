from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.stores import chunks_of, opened, rows

from service import errors
from service.domain.claims import Claim, ClaimOutcome, RequestOwner, Reservation, Settlement
from service.domain.usage import TokenUsage, format_utc_day
from service.embedding.prompts import hash_text
from service.storage.embedding_request_rows import OVERDUE_US, WAITING_US
from service.storage.embedding_requests import MAX_QUERY_VECTORS
from service.storage.stores import Stores

LEASE_SECONDS = 60.0
COST_USD = 0.25
DAY_SECONDS = 86_400.0

FIRST = RequestOwner("0", "first")
SECOND = RequestOwner("1", "second")
SUCCESSOR = RequestOwner("0", "successor")
PLACES = ["0", "1"]


def make_claim(
    owner: RequestOwner, *texts: str, limit: int = 8, budget_usd: float | None = None
) -> Claim:
    """Return the claim of a request that costs 0.25 US dollars, within a budget."""

    def reserve(_tokens: int, spent_usd: float, reserved_usd: float) -> Reservation | None:
        if budget_usd is not None and spent_usd + COST_USD > budget_usd:
            raise errors.BudgetSpent("spent")
        is_free = budget_usd is None or spent_usd + reserved_usd + COST_USD <= budget_usd
        return Reservation(COST_USD, COST_USD) if is_free else None

    tokens = {hash_text(text): 10 for text in texts}
    return Claim(owner, SPACE.fingerprint, tokens, lambda: limit, LEASE_SECONDS, reserve)


async def claim(
    stores: Stores, request: Claim, waiting: ClaimOutcome | None = None
) -> ClaimOutcome:
    """Claim a request, and wait for its turn on disk if it has to."""
    waiting_id = None if waiting is None else waiting.request_id
    return await stores.embedding_requests.claim(request, waiting_id, may_wait=True)


def settlement(outcome: ClaimOutcome, *texts: str, cost_usd: float = COST_USD) -> Settlement:
    """Return the settlement of a request with the vectors of these texts of items."""
    return Settlement(
        outcome.request_id,
        SPACE.fingerprint,
        TokenUsage(10, cost_usd),
        outcome.estimate,
        [chunk for text in texts for chunk in chunks_of(text)],
    )


async def spent_usd(stores: Stores, clock: FakeClock) -> float:
    """Return what is recorded as spent today."""
    usage = await stores.usage.list_days(1)
    return usage.get(format_utc_day(clock()), TokenUsage()).cost_usd


def hashes(*texts: str) -> frozenset[bytes]:
    return frozenset(map(hash_text, texts))


async def test_one_process_at_a_time_embeds_a_text(tmp_path: Path) -> None:
    """A text under way is in no other request, and afterwards its vector is there for all."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        first = await claim(stores, make_claim(FIRST, "tea", "cake"))
        second = await claim(stores, make_claim(SECOND, "tea", "coffee"))
        assert (hashes("tea", "cake"), hashes("coffee")) == (first.hashes, second.hashes)
        nothing = await claim(stores, make_claim(SECOND, "cake"))
        assert (None, frozenset(), {}) == (nothing.request_id, nothing.hashes, nothing.vectors)
        await stores.embedding_requests.settle(settlement(first, "tea"))
        third = await claim(stores, make_claim(SECOND, "tea", "cake"))
        assert hashes("cake") == third.hashes
        np.testing.assert_array_equal(unit_vector("tea"), third.vectors[hash_text("tea")])


async def test_all_processes_share_one_limit(tmp_path: Path) -> None:
    """No more requests are under way than the limit; those that wait get their turn in order."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        under_way = [await claim(stores, make_claim(FIRST, f"a{n}", limit=2)) for n in range(2)]
        first, second = make_claim(SECOND, "b", limit=2), make_claim(FIRST, "c", limit=2)
        waiting = await claim(stores, first)
        later = await claim(stores, second)
        assert (True, True) == (waiting.is_waiting, later.is_waiting)
        await stores.embedding_requests.settle(settlement(under_way[0]))
        assert (await claim(stores, second, later)).is_waiting
        assert (await claim(stores, make_claim(FIRST, "d", limit=2))).is_waiting
        started = await claim(stores, first, waiting)
        assert (False, hashes("b")) == (started.is_waiting, started.hashes)
        assert (await claim(stores, second, later)).is_waiting
        await stores.embedding_requests.settle(settlement(started))
        assert not (await claim(stores, second, later)).is_waiting


async def test_requests_with_low_priority_go_last(tmp_path: Path) -> None:
    """A request of a call gets its turn before one of an import that has waited for longer."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        under_way = await claim(stores, make_claim(FIRST, "a", limit=1))
        of_import = replace(make_claim(FIRST, "b", limit=1), low_priority=True)
        of_call = make_claim(SECOND, "c", limit=1)
        import_place = await claim(stores, of_import)
        call_place = await claim(stores, of_call)
        await stores.embedding_requests.settle(settlement(under_way))
        assert (await claim(stores, of_import, import_place)).is_waiting
        started = await claim(stores, of_call, call_place)
        assert hashes("c") == started.hashes
        await stores.embedding_requests.settle(settlement(started))
        assert hashes("b") == (await claim(stores, of_import, import_place)).hashes


async def test_all_processes_share_one_budget(tmp_path: Path) -> None:
    """Requests of all processes reserve parts of one budget, and spend it together."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        first = await claim(stores, make_claim(FIRST, "a", budget_usd=0.5))
        await claim(stores, make_claim(FIRST, "b", budget_usd=0.5))
        third = make_claim(SECOND, "c", budget_usd=0.5)
        waiting = await claim(stores, third)
        assert waiting.is_waiting
        await stores.embedding_requests.settle(settlement(first, cost_usd=0.0))
        assert not (await claim(stores, third, waiting)).is_waiting
        await stores.embedding_requests.settle(Settlement(None, usage=TokenUsage(1, 0.5)))
        with pytest.raises(errors.BudgetSpent):
            await claim(stores, make_claim(SECOND, "d", budget_usd=0.5))
        assert pytest.approx(0.5) == await spent_usd(stores, clock)


async def test_a_successor_counts_the_requests_of_a_dead_process(tmp_path: Path) -> None:
    """After a crash, requests under way count as spent, and others may embed their texts."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        await claim(stores, make_claim(FIRST, "tea", limit=1))
        await claim(stores, make_claim(FIRST, "cake", limit=1))  # waits, so it costs nothing
        other = await claim(stores, make_claim(SECOND, "coffee"))
    async with opened(tmp_path, clock) as (stores, _):
        await stores.embedding_requests.write_off(SUCCESSOR, PLACES)
        assert pytest.approx(COST_USD) == await spent_usd(stores, clock)
        assert [(other.request_id,)] == rows(tmp_path, "SELECT request_id FROM embedding_requests")
        assert hashes("tea") == (await claim(stores, make_claim(SUCCESSOR, "tea"))).hashes
        await stores.embedding_requests.write_off(SUCCESSOR, PLACES)
        assert pytest.approx(COST_USD) == await spent_usd(stores, clock)


async def test_requests_of_places_that_are_gone_are_written_off(tmp_path: Path) -> None:
    """After a start with fewer workers, those that are gone hold up nobody."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        await claim(stores, make_claim(SECOND, "tea"))
        await stores.embedding_requests.write_off(FIRST, PLACES[:1])
        assert hashes("tea") == (await claim(stores, make_claim(FIRST, "tea"))).hashes
        assert pytest.approx(COST_USD) == await spent_usd(stores, clock)


@pytest.mark.parametrize(("cost_usd", "total_usd"), [(0.75, 0.75), (0.125, COST_USD)])
async def test_a_claim_expires(tmp_path: Path, cost_usd: float, total_usd: float) -> None:
    """A request that is never settled counts as spent in the end, and once if it is settled."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        late = await claim(stores, make_claim(FIRST, "tea"))
        clock.advance(seconds=LEASE_SECONDS - 1)
        assert not (await claim(stores, make_claim(SECOND, "tea"))).hashes
        clock.advance(seconds=1)
        assert not (await claim(stores, make_claim(SECOND, "tea"))).hashes
        clock.advance(microseconds=OVERDUE_US)
        assert hashes("tea") == (await claim(stores, make_claim(SECOND, "tea"))).hashes
        assert pytest.approx(COST_USD) == await spent_usd(stores, clock)
        await stores.embedding_requests.settle(settlement(late, "tea", cost_usd=cost_usd))
        assert pytest.approx(total_usd) == await spent_usd(stores, clock)


@pytest.mark.parametrize("jump_seconds", [-DAY_SECONDS, DAY_SECONDS])
async def test_a_claim_outlives_a_jump_of_the_clock(tmp_path: Path, jump_seconds: float) -> None:
    """A wall clock that is set ends neither the request of a living process nor its place."""
    clock, monotonic = FakeClock(), FakeClock(0)
    async with opened(tmp_path, clock, monotonic) as (stores, _):
        await claim(stores, make_claim(FIRST, "tea", limit=1))
        place = await claim(stores, make_claim(SECOND, "cake", limit=1))
        for _ in range(3):
            clock.advance(seconds=jump_seconds)
            monotonic.advance(microseconds=OVERDUE_US // 3)
            assert not (await claim(stores, make_claim(SECOND, "tea"))).hashes
            assert place == await claim(stores, make_claim(SECOND, "cake", limit=1), place)
        monotonic.advance(seconds=LEASE_SECONDS)
        await claim(stores, make_claim(SECOND, "tea"))
        monotonic.advance(microseconds=OVERDUE_US)
        assert hashes("tea") == (await claim(stores, make_claim(SECOND, "tea"))).hashes


async def test_a_waiting_process_keeps_its_place_while_it_lives(tmp_path: Path) -> None:
    """A place in the line is lost a few seconds after the last sign of life."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        under_way = await claim(stores, make_claim(FIRST, "a", limit=1))
        living, dead = make_claim(SECOND, "b", limit=1), make_claim(SUCCESSOR, "c", limit=1)
        dead_place = await claim(stores, dead)
        place = await claim(stores, living)
        for _ in range(3):
            clock.advance(microseconds=WAITING_US * 2 // 3)
            assert place == await claim(stores, living, place)
        await stores.embedding_requests.settle(settlement(under_way))
        assert hashes("b") == (await claim(stores, living, place)).hashes
        again = await claim(stores, dead, dead_place)
        assert again.is_waiting
        assert again.request_id != dead_place.request_id


def query_settlement(texts: Sequence[str]) -> Settlement:
    """Return a settlement with the vectors of texts of queries."""
    chunks = [chunk for text in texts for chunk in chunks_of(text)]
    return Settlement(None, SPACE.fingerprint, query_chunks=chunks)


async def test_vectors_of_queries_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Of the vectors of queries only the newest are kept, and all those of items."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        outcome = await claim(stores, make_claim(FIRST, "tea"))
        await stores.embedding_requests.settle(settlement(outcome, "tea"))
        texts = [f"query {number}" for number in range(MAX_QUERY_VECTORS + 2)]
        await stores.embedding_requests.settle(query_settlement(texts[:2]))
        await stores.embedding_requests.settle(query_settlement(texts))
        read = await stores.embedding_requests.read_vectors(
            SPACE.fingerprint, [*map(hash_text, texts), hash_text("tea")]
        )
        assert hashes(*texts[2:], "tea") == read.keys()
        assert {} == await stores.embedding_requests.read_vectors("no space", [hash_text("tea")])
