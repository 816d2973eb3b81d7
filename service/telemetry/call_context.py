"""The deadline of a call, how long its stages take, and when it waits for another service.

They travel in context variables, so that no layer has to pass them on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

# The stages of a call: texts wait in the batch queue, texts are embedded, one request to the
# embedder runs, the index is searched.
QUEUE = "queue"
EMBED = "embed"
REQUEST = "request"
SEARCH = "search"


class Timing:
    """The seconds of each stage of one call. Subclasses can trace the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def begin_stage(self, name: str, parent: object) -> object:
        """Begin a stage, and return its span; `parent` is the span around it, or None."""
        del name, parent
        return None

    def end_stage(self, span: object, error: BaseException | None) -> None:
        """End the stage of a span, with the exception that ended it."""

    def make_headers(self, span: object) -> Mapping[str, str]:
        """Return the headers that link a request to another service with a span."""
        del span
        return {}


# The time at which the call in this context must be answered, as of time.monotonic; None: no limit.
deadline: ContextVar[float | None] = ContextVar("akin_deadline", default=None)

_suspend: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar(
    "akin_suspend", default=nullcontext
)

_current: ContextVar[tuple[Timing, object] | None] = ContextVar("akin_stage", default=None)


def set_timing(timing: Timing) -> None:
    """Record the stages of the call in this context with `timing`."""
    _current.set((timing, None))


def add_seconds(stage: str, seconds: float) -> None:
    """Add to the time of a stage of the call in this context, if there is one."""
    current = _current.get()
    if current is not None:
        times = current[0].seconds
        times[stage] = times.get(stage, 0.0) + seconds


def make_trace_headers() -> Mapping[str, str]:
    """Return the headers that link a request to another service with the current stage."""
    current = _current.get()
    return {} if current is None else current[0].make_headers(current[1])


def set_suspension(suspend: Callable[[], AbstractContextManager[None]]) -> None:
    """Enter what `suspend` returns whenever the call in this context waits for another service."""
    _suspend.set(suspend)


def suspended() -> AbstractContextManager[None]:
    """Return the context in which the call in this context waits for another service."""
    return _suspend.get()()


class Stage:
    """A context manager around one stage of the call in this context, if there is one."""

    __slots__ = ("_name", "_outer", "_started", "_token")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Self:
        self._outer = _current.get()
        if self._outer is not None:
            timing, parent = self._outer
            self._started = time.perf_counter()
            self._token: Token[tuple[Timing, object] | None] = _current.set(
                (timing, timing.begin_stage(self._name, parent))
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        inner = _current.get()
        if self._outer is not None and inner is not None:
            add_seconds(self._name, time.perf_counter() - self._started)
            inner[0].end_stage(inner[1], exc)
            _current.reset(self._token)
