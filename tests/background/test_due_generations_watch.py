"""Tasks that wait until their generation has something due."""

import asyncio

from support.tasks import left, started

from service import errors
from service.background.due_generations import DueGenerations
from service.domain.generations import Generation


def generation(number: int) -> Generation:
    return Generation(1, "shop", number, 1)


async def test_only_due_generations_are_woken() -> None:
    """A look wakes the tasks of generations that are due, and no others, also after a failure."""
    answers: list[list[int] | errors.AkinError] = [errors.StoreUnavailable("gone"), [], [2]]

    async def list_due() -> list[int]:
        answer = answers.pop(0) if answers else []
        if isinstance(answer, errors.AkinError):
            raise answer
        return answer

    due = DueGenerations(list_due, interval_seconds=0.0)
    waiting = [await started(due.wait(generation(number))) for number in (1, 2, 2)]
    looking = await started(due.run())
    await asyncio.gather(*waiting[1:])
    assert not waiting[0].done()
    await left(looking, waiting[0])
    assert {} == due._waiters
