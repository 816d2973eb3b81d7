"""Records what writers send and what servers acknowledge, in order, and keeps the model current."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from faults.model import Attempt, CatalogContent, Group, Key, Model, Numbers, Violation


@dataclass(frozen=True, slots=True)
class Event:
    """A step of a request; `position` is that of the clock that orders steps and faults.

    `sequences` is None if the request was refused, and `()` while its outcome is not known.
    """

    position: int
    group: Group
    is_begin: bool
    sequences: Sequence[int] | None = ()

    def apply(self, model: Model) -> None:
        """Change a model as the live one was changed."""
        if self.is_begin:
            model.begin(self.group)
        elif self.sequences is None:
            model.refuse(self.group.number)
        else:
            model.store(self.group.number, self.sequences)

    def describe(self) -> str:
        """Return one line for people."""
        keys = ", ".join(
            f"{attempt.key.catalog}/{attempt.key.id}" for attempt in self.group.attempts
        )
        outcome = "sent" if self.is_begin else "refused" if self.sequences is None else "stored"
        numbers = "" if self.is_begin or not self.sequences else f" as {list(self.sequences)}"
        return (
            f"{self.position} {self.group.method} {self.group.number} of {keys}: {outcome}{numbers}"
        )


class Recorder:
    """The model, and the events that made it; for several threads.

    Args:
        read_position: returns the present position of the clock that orders events and faults.
            Without it, events are counted.
    """

    def __init__(self, read_position: Callable[[], int] | None = None) -> None:
        self.model = Model()
        self.events: list[Event] = []
        self.violations: list[Violation] = []
        self.acknowledged_count = 0
        self.refused_count = 0
        self.numbers = Numbers()
        self._read_position = read_position or (lambda: len(self.events))
        self._changed = threading.Condition()

    def begin(self, method: str, attempts: Iterable[Attempt], *, is_atomic: bool = True) -> Group:
        """Note a request that is about to be sent."""
        with self._changed:
            number, floor = self.numbers.take(), self.model.last_sequence
            group = Group(number, method, tuple(attempts), floor, is_atomic)
            self._add(Event(self._read_position(), group, is_begin=True))
            return group

    def store(self, group: Group, sequences: Sequence[int]) -> None:
        """Note an acknowledgement, with the sequence number of each attempt or 0."""
        with self._changed:
            self.events.append(
                Event(self._read_position(), group, is_begin=False, sequences=sequences)
            )
            self.violations += self.model.store(group.number, sequences)
            self.acknowledged_count += len(group.attempts)
            self._changed.notify_all()

    def refuse(self, group: Group) -> None:
        """Note an error that says that nothing was stored."""
        with self._changed:
            self._add(Event(self._read_position(), group, is_begin=False, sequences=None))
            self.refused_count += 1
            self._changed.notify_all()

    def report(self, kind: str, key: Key, problem: str) -> None:
        """Note a broken promise that a response shows."""
        with self._changed:
            self.violations.append(Violation(kind, key, problem))

    def switch(self, name: str, before: CatalogContent) -> None:
        """Note that a catalog was seen with its next generation serving."""
        attempt = Attempt(Key(name, "", ""), before.switch())
        self.store(self.begin("GetReembedding", [attempt]), [0])

    def copy_model(self) -> tuple[Model, int]:
        """Return a copy of the model, and the number of events that made it."""
        with self._changed:
            return self.model.copy(), len(self.events)

    def copy_events(self, start: int = 0) -> list[Event]:
        """Return the events from a number on."""
        with self._changed:
            return self.events[start:]

    def is_uncertain(self, key: Key) -> bool:
        """Return whether a request on a key, or on its catalog, has no outcome yet."""
        with self._changed:
            keys = {key, Key(key.catalog, "", "")}
            groups = self.model.open_groups.values()
            return any(attempt.key in keys for group in groups for attempt in group.attempts)

    def wait_for(self, acknowledged_count: int, timeout_seconds: float) -> bool:
        """Wait until that many states are acknowledged; return False if time is up."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.acknowledged_count >= acknowledged_count, timeout_seconds
            )

    def wait_for_refusals(self, count: int, timeout_seconds: float) -> bool:
        """Wait for `count` more refusals; return False if time is up."""
        with self._changed:
            goal = self.refused_count + count
            return self._changed.wait_for(lambda: self.refused_count >= goal, timeout_seconds)

    def list_history(self, keys: Iterable[Key]) -> list[str]:
        """Return the events of some keys and of their catalogs, oldest first, one a line."""
        all_keys = {*keys, *(Key(key.catalog, "", "") for key in keys)}
        with self._changed:
            return [
                event.describe()
                for event in self.events
                if any(attempt.key in all_keys for attempt in event.group.attempts)
            ]

    def _add(self, event: Event) -> None:
        self.events.append(event)
        event.apply(self.model)
