"""Counts the calls that use a handle, and the handles that use a generation.

A generation that the store has dropped is closed when no handle uses it, so that a call which began
before ends with the generation with which it began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from service.catalog.generation_writer import GenerationWriter
from service.domain.generations import Generation, GenerationState
from service.embedding.pool import Spawn

Handle = TypeVar("Handle")


@dataclass(slots=True)
class TrackedGeneration:
    """A generation with its tasks; `handles` counts the handles that use it.

    If it is superseded, the same generation is open again with another index.
    """

    writer: GenerationWriter
    state: GenerationState | None = None
    has_caught_up: bool = False
    handles: int = 0
    is_dropped: bool = False
    is_superseded: bool = False
    following: list[asyncio.Task[None]] = field(default_factory=list)
    background: list[asyncio.Task[None]] = field(default_factory=list)

    def stop_background(self) -> None:
        """End the background tasks."""
        for task in self.background:
            task.cancel()
        self.background.clear()


@dataclass(slots=True)
class CountedHandle(Generic[Handle]):
    """A handle, the calls that use it, and the generations that it uses."""

    handle: Handle
    generations: tuple[TrackedGeneration, ...]
    users: int = 0
    is_replaced: bool = False


class HandleCounts(Generic[Handle]):
    """Closes generations when their last handle is returned.

    Args:
        remove_files: removes the files of a closed generation.
        spawn: starts the tasks that close them.
    """

    def __init__(self, remove_files: Callable[[Generation], Awaitable[None]], spawn: Spawn) -> None:
        self._remove_files = remove_files
        self._spawn = spawn

    def count(
        self, handle: Handle, generations: tuple[TrackedGeneration, ...]
    ) -> CountedHandle[Handle]:
        """Return a new handle, counted as a user of its generations."""
        for tracked in generations:
            tracked.handles += 1
        return CountedHandle(handle, generations)

    def retire(self, counted: CountedHandle[Handle]) -> None:
        """Note that no further call will use a handle."""
        counted.is_replaced = True
        self.free_if_unused(counted)

    def drop(self, tracked: TrackedGeneration) -> None:
        """Close a generation once no handle uses it."""
        tracked.stop_background()
        tracked.is_dropped = True
        if not tracked.handles:
            self._spawn(self._close(tracked))

    def free_if_unused(self, counted: CountedHandle[Handle]) -> None:
        """Close the generations that only a replaced handle used, if no call uses it."""
        if counted.users:
            return
        for tracked in counted.generations:
            tracked.handles -= 1
            if tracked.is_dropped and not tracked.handles:
                self._spawn(self._close(tracked))

    async def _close(self, tracked: TrackedGeneration) -> None:
        for task in tracked.following:
            task.cancel()
        await asyncio.gather(*tracked.following, return_exceptions=True)
        if not tracked.is_superseded:
            await self._remove_files(tracked.writer.generation)
