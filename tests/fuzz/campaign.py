"""A fuzz of a server: makes the calls, checks each of them, and the server afterwards."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from support.provider import Reply, ScriptedProvider, failure, success

from fuzz.calls import KEY, Call, Kind, make_call
from fuzz.methods import Method, find_methods
from fuzz.population import Contents, Population
from fuzz.properties import find_problems
from fuzz.sending import Outcome, Sender, open_sender
from fuzz.shrinking import shrink
from fuzz.vocabulary import Vocabulary
from fuzz.watched_server import WatchedServer

# Calls at the same time.
CONCURRENCY = 16

# The catalogs are restored after this number of calls, because calls delete what others read.
CALLS_BETWEEN_RESTORES = 1_000

# Failures of one method that are kept; further ones are only counted.
KEPT_FAILURES = 5

# Memory that the server may use in the end, in bytes. It starts with about 200 MiB.
MAX_RESIDENT_BYTES = 1024**3

# The provider refuses more dimensions, so that no call moves megabytes of vectors.
MAX_DIMENSIONS = 512

Progress = Callable[[int, int], None]
After = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Plan:
    """What a fuzz does.

    Attributes:
        seed: with the same seed, the calls have the same requests.
        messages: the calls of each method.
        methods: fuzzes only the methods whose path contains this.
        first: the number of the first call of each method.
        workers: the processes of the server.
    """

    seed: int
    messages: int
    methods: str = ""
    first: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Failure:
    """A call that failed, and why."""

    call: Call
    problems: Sequence[str]


@dataclass
class Report:
    """The results of a fuzz.

    Attributes:
        codes: how many calls of each method ended with each status.
        failures: calls that failed, up to `KEPT_FAILURES` for each method.
        failure_count: all calls that failed.
        server_problems: what was wrong with the log, the process, or the data.
        resident_bytes: the memory of the server at its start, at most, and in the end.
        slowest: the longest time of a call of each method, in seconds.
    """

    plan: Plan
    codes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[Failure] = field(default_factory=list)
    failure_count: int = 0
    server_problems: list[str] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: float = 0.0

    @property
    def call_count(self) -> int:
        """The calls of all methods."""
        return sum(codes.total() for codes in self.codes.values())

    @property
    def has_failed(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.failures or self.server_problems)


def run_fuzz(plan: Plan, show_progress: Progress = lambda _done, _total: None) -> Report:
    """Fuzz a server of its own, with its data in a temporary folder.

    Args:
        plan: what to do.
        show_progress: receives the calls that have ended and those of the plan.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        ScriptedProvider() as provider,
    ):
        provider.otherwise = _answer_small
        report = Report(plan)
        with WatchedServer(Path(folder), provider.url, plan.workers) as server:
            contents = asyncio.run(_fuzz_server(report, server, provider, show_progress))
        with WatchedServer(Path(folder), provider.url, plan.workers) as server:
            if contents != asyncio.run(Population(server.address, KEY).read_all()):
                report.server_problems.append("the data differs after a restart")
            report.server_problems += server.log_problems
        return report


async def fuzz_methods(
    address: str, methods: Sequence[Method], words: Vocabulary, report: Report, after: After
) -> None:
    """Make all calls of a plan, and add to the report what came of them.

    Args:
        address: `host:port` of a server.
        methods: the methods to call.
        words: the values of strings.
        report: has the plan, and receives the results.
        after: is awaited after each call.
    """
    calls = _make_calls(report.plan, methods, words)
    async with open_sender(address) as sender:

        async def work() -> None:
            for call in calls:
                await _make(sender, call, report)
                await after()

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def _fuzz_server(
    report: Report, server: WatchedServer, provider: ScriptedProvider, show_progress: Progress
) -> Contents:
    """Make all calls, stop the server, and return the data that it had."""
    plan = report.plan
    started = time.monotonic()
    population = Population(server.address, KEY)
    await population.restore()
    words = Vocabulary(await population.read_page_tokens())
    methods = [
        method
        for method in await asyncio.to_thread(find_methods, server.address)
        if plan.methods in method.path
    ]
    report.resident_bytes = [server.resident_bytes()]
    lock = asyncio.Lock()

    async def after() -> None:
        done = report.call_count
        if done % CALLS_BETWEEN_RESTORES == 0 and not lock.locked():
            async with lock:
                provider.requests.clear()
                provider.headers.clear()
                await population.restore()
                report.resident_bytes.append(server.resident_bytes())
                show_progress(done, plan.messages * len(methods))

    await fuzz_methods(server.address, methods, words, report, after)
    report.resident_bytes.append(server.resident_bytes())
    contents = await _check_server(server, population, report)
    report.seconds = time.monotonic() - started
    return contents


async def _check_server(server: WatchedServer, population: Population, report: Report) -> Contents:
    """Check that the server still works and that its data is consistent; stop it."""
    problems = report.server_problems
    if not server.is_running:
        problems.append(f"the server ended: {server.log[-20:]}")
        return {}
    await population.restore()
    problems += await population.find_inconsistencies()
    contents = await population.read_all()
    if report.resident_bytes[-1] > MAX_RESIDENT_BYTES:
        problems.append(f"the server uses {report.resident_bytes[-1]} bytes of memory")
    if code := await asyncio.to_thread(server.stop):
        problems.append(f"the server ended with status {code}")
    problems += server.log_problems
    return contents


def _make_calls(plan: Plan, methods: Sequence[Method], words: Vocabulary) -> Iterator[Call]:
    """Yield the calls of all methods in turn."""
    for number in range(plan.first, plan.first + plan.messages):
        for method in methods:
            yield make_call(plan.seed, method, number, words)


async def _make(sender: Sender, call: Call, report: Report) -> None:
    outcome = await sender.send(call)
    path = call.method.path
    report.codes[path][outcome.code.name] += 1
    report.slowest[path] = max(report.slowest[path], outcome.seconds)
    problems = find_problems(call, outcome)
    if not problems:
        return
    report.failure_count += 1
    if sum(failure.call.method.path == path for failure in report.failures) < KEPT_FAILURES:

        async def still_fails(smaller: Call) -> bool:
            return _kinds(find_problems(smaller, await sender.send(smaller))) == _kinds(problems)

        call = await shrink(call, still_fails) if _can_repeat(call, outcome) else call
        report.failures.append(Failure(call, problems))


def _kinds(problems: Sequence[str]) -> set[str]:
    return {problem.partition(":")[0] for problem in problems}


def _can_repeat(call: Call, outcome: Outcome) -> bool:
    """Return whether a failure is likely to come again, and soon."""
    has_chance = call.kind in (Kind.DEADLINE, Kind.CANCELLED)
    return not has_chance and outcome.code is not grpc.StatusCode.DEADLINE_EXCEEDED


def _answer_small(request: Any) -> Reply | None:
    if request.get("dimensions", 0) > MAX_DIMENSIONS:
        return failure(400, "too many dimensions")(request)
    return success(request)
