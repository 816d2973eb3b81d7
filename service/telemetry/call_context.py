"""How long the stages of a call take: for its caller, and for traces where they are on.

What records them travels with the context of a call, so that no generation has to hand it on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

QUEUE = "queue"
EMBED = "embed"
REQUEST = "request"
SEARCH = "search"


class Timing:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def begin(self, name: str, parent: object) -> object:
        """A stage begins inside another, or inside None; returns what stands for it."""
        del name, parent
        return None

    def end(self, begun: object, error: BaseException | None) -> None:
        """A stage ends."""

    def headers(self, begun: object) -> Mapping[str, str]:
        """What tells another service of the stage it is called from."""
        del begun
        return {}


deadline: ContextVar[float | None] = ContextVar("akin_deadline", default=None)
"""When the call in this context must be answered, in seconds of time.monotonic; None: never."""

_current: ContextVar[tuple[Timing, object] | None] = ContextVar("akin_stage", default=None)


def record(timing: Timing) -> None:
    """Has the stages of the call in this context recorded."""
    _current.set((timing, None))


def note(name: str, seconds: float) -> None:
    """Adds to a stage of the call in this context."""
    current = _current.get()
    if current is not None:
        times = current[0].seconds
        times[name] = times.get(name, 0.0) + seconds


def headers() -> Mapping[str, str]:
    """What tells another service of the stage that this context is in."""
    current = _current.get()
    return {} if current is None else current[0].headers(current[1])


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
                (timing, timing.begin(self._name, parent))
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
            note(self._name, time.perf_counter() - self._started)
            inner[0].end(inner[1], exc)
            _current.reset(self._token)
