"""Answers the queries of a batch, a few at a time, so that other calls do not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.messages.recommendations import query_result
from service.domain import limits

_Query = TypeVar("_Query")

Answer = Callable[[_Query], Awaitable[pb.RecommendSimilarResponse]]

# Queries of one batch that are answered at the same time: one searches while another one reads
# its items.
QUERIES_AT_ONCE = 2

# The same for all batches of the process. A call waits for one query of each at every step.
MAX_RUNNING_QUERIES = 4


class BatchRunner:
    """Answers the queries of all batches of a process; each batch has its turn."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_RUNNING_QUERIES)

    async def run(
        self, queries: Sequence[_Query | errors.AkinError], answer: Answer[_Query]
    ) -> list[pb.QueryResult]:
        """Return the result of each query, in order.

        Args:
            queries: the queries, or why they cannot be answered.
            answer: answers one of them; it may raise one of errors.QUERY_ERRORS.

        Raises:
            AnswerTooLarge: the results exceed the maximum size of a message.
            AkinError: the first other error of `answer`.
        """
        results = [pb.QueryResult() for _ in queries]
        positions, size = iter(range(len(queries))), 0

        async def work() -> None:
            nonlocal size
            for position in positions:
                # Results are kept only while they fit: whole items can have a MiB each.
                result = await self._find_result(queries[position], answer)
                size += result.ByteSize()
                if size > limits.MESSAGE_BYTES:
                    raise errors.AnswerTooLarge(
                        f"the results exceed {limits.MESSAGE_BYTES} bytes: "
                        "send fewer queries, or request fewer items or only their ids"
                    )
                results[position] = result

        await _run_together(work() for _ in range(QUERIES_AT_ONCE))
        return results

    async def _find_result(
        self, query: _Query | errors.AkinError, answer: Answer[_Query]
    ) -> pb.QueryResult:
        if isinstance(query, errors.AkinError):
            return query_result(query)
        async with self._slots:
            # A query may be answered without a pause; other calls have their turn first.
            await asyncio.sleep(0)
            try:
                return query_result(await answer(query))
            except errors.QUERY_ERRORS as exc:
                return query_result(exc)


async def _run_together(works: Iterator[Awaitable[None]]) -> None:
    """Run works until all have ended or one has failed, and raise its error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
