"""When the latest changes of a catalog can be dropped, because the engine has them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class RunningRead:
    """A read of the engine, during which changes must stay that it may have missed there."""


@dataclass(slots=True)
class _HeldTrim:
    reached: int
    reads: set[RunningRead] = field(default_factory=set)


class HeldTrims:
    """Holds back the trims of a tail until the reads that may need the changes have ended.

    A read can ask the engine just before a change comes in there. It needs the change from the tail
    then, even if the writer notes in the meantime that the engine has it.

    `reached` is the sequence number up to which the tail can be trimmed now.
    """

    def __init__(self) -> None:
        self.reached = 0
        self._reads: set[RunningRead] = set()
        self._held: list[_HeldTrim] = []

    def begin(self) -> RunningRead:
        """Note the begin of a read."""
        read = RunningRead()
        self._reads.add(read)
        return read

    def end(self, read: RunningRead) -> None:
        """Note the end of a read."""
        self._reads.discard(read)
        for trim in self._held:
            trim.reads.discard(read)
        self._release()

    def note(self, reached: int) -> None:
        """Note that the engine has all changes up to a sequence number."""
        last = self._held[-1].reached if self._held else self.reached
        if reached > last:
            self._held.append(_HeldTrim(reached, set(self._reads)))
            self._release()

    def restart(self) -> None:
        """Forget all notes, because there is another collection; running reads go on."""
        self.reached = 0
        self._held.clear()

    def _release(self) -> None:
        while self._held and not self._held[0].reads:
            self.reached = self._held.pop(0).reached
