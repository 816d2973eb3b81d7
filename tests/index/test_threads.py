import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.stores import GIVE_UP_SECONDS
from support.tasks import left, started

from service import errors
from service.index.threads import MAX_LONG_JOBS, IndexQueue, IndexThreads


@pytest.fixture
def threads() -> Iterator[IndexThreads]:
    index_threads = IndexThreads()
    yield index_threads
    index_threads.close()


class HeldWork:
    """Work that has begun once `begun` is set, and ends once `go` is set."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> str:
        """Wait for `go`; return the name of the thread."""
        self.begun.set()
        assert self.go.wait(GIVE_UP_SECONDS)
        return threading.current_thread().name


async def wait_for_event(event: threading.Event) -> None:
    """Wait until another thread sets an event, in a thread of the test's own."""
    with ThreadPoolExecutor(1) as waiter:
        await asyncio.get_running_loop().run_in_executor(waiter, event.wait, GIVE_UP_SECONDS)
    assert event.is_set()


async def test_work_of_an_index_runs_in_order_and_never_at_once(threads: IndexThreads) -> None:
    """The work of each index runs one piece at a time, in the order of the calls."""
    queues = [IndexQueue(threads) for _ in range(5)]
    logs: list[list[int]] = [[] for _ in queues]
    running = [threading.Lock() for _ in queues]

    def work(place: int, number: int) -> int:
        assert running[place].acquire(blocking=False)
        logs[place].append(number)
        running[place].release()
        return number

    numbers = range(200)
    results = await asyncio.gather(
        *(
            (queues[place].run_long if number % 7 == 0 else queues[place].run)(work, place, number)
            for number in numbers
            for place in range(5)
        )
    )
    assert sorted([*numbers] * 5) == sorted(results)
    assert all(sorted(log) == [*numbers] for log in logs)
    quick = [[number for number in log if number % 7] for log in logs]
    assert all(log == sorted(log) for log in quick)


async def test_many_indexes_share_few_threads(threads: IndexThreads) -> None:
    """A thousand indexes take no more threads than the processors and the long jobs."""
    before = set(threading.enumerate())
    queues = [IndexQueue(threads) for _ in range(1_000)]
    names = await asyncio.gather(
        *(queue.run(lambda: threading.current_thread().name) for queue in queues),
        *(queue.run_long(lambda: threading.current_thread().name) for queue in queues),
        *(threads.build(lambda: threading.current_thread().name) for _ in queues),
    )
    processors = len(os.sched_getaffinity(0))
    assert 3_000 == len(names)
    added = len(set(threading.enumerate()) - before)
    assert added <= processors + MAX_LONG_JOBS + max(1, processors // 2)


async def test_long_work_does_not_hold_up_other_indexes(threads: IndexThreads) -> None:
    """However many analyses run and wait, the work of an index without one runs."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        analyses = [HeldWork() for _ in range(40)]
        held = [await started(IndexQueue(threads).run_long(work)) for work in analyses]
        await asyncio.gather(*(wait_for_event(work.begun) for work in analyses[:MAX_LONG_JOBS]))
        for number in range(20):
            assert number == await IndexQueue(threads).run(lambda value=number: value)
        # An index whose analysis waits for those of others goes on with its other work, too.
        waiting_queue = IndexQueue(threads)
        waiting = await started(waiting_queue.run_long(lambda: "analyzed"))
        assert "written" == await waiting_queue.run(lambda: "written")
        assert MAX_LONG_JOBS == sum(work.begun.is_set() for work in analyses)
        for work in analyses:
            work.go.set()
        await asyncio.gather(*held)
        assert "analyzed" == await waiting


async def test_work_whose_caller_has_left_is_dropped(threads: IndexThreads) -> None:
    """Work is not run if its caller leaves before it begins, and the rest goes on."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        queue = IndexQueue(threads)
        ran: list[object] = []
        first = HeldWork()
        running = await started(queue.run(first))
        await wait_for_event(first.begun)
        leaving = [await started(queue.run(ran.append, number)) for number in range(50)]
        leaving_long = [await started(queue.run_long(ran.append, number)) for number in range(50)]
        staying = await started(queue.run(ran.append, "stays"))
        staying_long = await started(queue.run_long(ran.append, "stays"))
        for task in (*leaving, *leaving_long):
            await left(task)
        first.go.set()
        await asyncio.gather(running, staying, staying_long)
        assert ["stays", "stays"] == ran
        # No slot of long work is lost.
        works = [HeldWork() for _ in range(MAX_LONG_JOBS)]
        held = [await started(IndexQueue(threads).run_long(work)) for work in works]
        await asyncio.gather(*(wait_for_event(work.begun) for work in works))
        for work in works:
            work.go.set()
        await asyncio.gather(*held)


async def test_an_abandoned_piece_ends_before_the_next_begins(threads: IndexThreads) -> None:
    """If a caller leaves work that has begun, the next work of the index waits for its end."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        queue, first = IndexQueue(threads), HeldWork()
        running = await started(queue.run(first))
        await wait_for_event(first.begun)
        await left(running)
        following = await started(queue.run(first.go.is_set))
        assert not following.done()
        first.go.set()
        assert await following


async def test_an_error_reaches_its_caller_alone(threads: IndexThreads) -> None:
    """What a piece of work raises is raised by its call, and the next one runs."""
    queue = IndexQueue(threads)
    for run in (queue.run, queue.run_long, threads.build):
        with pytest.raises(ZeroDivisionError):
            await run(lambda: 1 // 0)
        assert 1 == await run(lambda: 1)


async def test_a_closed_queue_refuses_work(threads: IndexThreads) -> None:
    """Work that has not begun when a queue closes ends with NotReady, and later work as well."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        queue, first = IndexQueue(threads), HeldWork()
        running = await started(queue.run(first))
        await wait_for_event(first.begun)
        waiting = [await started(run(lambda: 1)) for run in (queue.run, queue.run_long)]
        queue.close()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [errors.NotReady] * 2 == [type(outcome) for outcome in outcomes]
        for run in (queue.run, queue.run_long):
            with pytest.raises(errors.NotReady):
                await run(lambda: 1)
        first.go.set()
        assert (await running).startswith("akin-index")


async def test_a_cancelled_build_ends_before_its_caller(threads: IndexThreads) -> None:
    """A cancelled build that has begun is stopped and waited for; one that has not never runs."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        builders = max(1, len(os.sched_getaffinity(0)) // 2)
        works = [HeldWork() for _ in range(builders)]
        ran: list[object] = []
        builds = [await started(threads.build(work, stop=work.go.set)) for work in works]
        await asyncio.gather(*(wait_for_event(work.begun) for work in works))
        waiting = await started(threads.build(ran.append, 1))
        await left(waiting)
        for build in builds:
            await left(build)
        assert all(work.go.is_set() for work in works)
        assert all(build.cancelled() for build in builds)
        await threads.build(ran.append, 2)
        assert [2] == ran
