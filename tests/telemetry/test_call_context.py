from collections.abc import Mapping
from contextvars import copy_context

import pytest

from service.telemetry import call_context
from service.telemetry.call_context import Stage, Timing


class RecordingTiming(Timing):
    """Records the stages of a call, with the stage around each and the error that ended it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[str, object]] = []
        self.ended: list[tuple[object, BaseException | None]] = []

    def begin_stage(self, name: str, parent: object) -> object:
        """Record a stage, whose name is its span."""
        self.begun.append((name, parent))
        return name

    def end_stage(self, span: object, error: BaseException | None) -> None:
        """Record the end of a stage."""
        self.ended.append((span, error))

    def make_headers(self, span: object) -> Mapping[str, str]:
        """Return the span as a header."""
        return {"span": str(span)}


def test_the_seconds_of_a_stage_add_up() -> None:
    """Seconds are summed by stage, whether measured or added."""
    timing = Timing()

    def call() -> None:
        call_context.set_timing(timing)
        call_context.add_seconds("queue", 1.5)
        call_context.add_seconds("queue", 0.5)
        with Stage("embed"):
            pass

    copy_context().run(call)
    assert ["queue", "embed"] == list(timing.seconds)
    assert 2.0 == timing.seconds["queue"]
    assert 0.0 <= timing.seconds["embed"] < 1.0


def test_stages_are_nested() -> None:
    """A stage inside of another one has its span as parent, and so have trace headers."""
    timing = RecordingTiming()

    def call() -> None:
        call_context.set_timing(timing)
        with Stage("embed"):
            with Stage("request"):
                assert {"span": "request"} == call_context.make_trace_headers()
            assert {"span": "embed"} == call_context.make_trace_headers()

    copy_context().run(call)
    assert [("embed", None), ("request", "embed")] == timing.begun
    assert [("request", None), ("embed", None)] == timing.ended


def test_a_stage_ends_with_its_error() -> None:
    """The exception that leaves a stage is reported to the timing, and passes through."""
    timing = RecordingTiming()
    error = ValueError("broken")

    def call() -> None:
        call_context.set_timing(timing)
        with Stage("search"):
            raise error

    with pytest.raises(ValueError, match="broken"):
        copy_context().run(call)
    assert [("search", error)] == timing.ended


def test_stages_outside_of_a_call_are_not_recorded() -> None:
    """Without a call in the context, stages run, and there are no trace headers."""

    def work() -> Mapping[str, str]:
        call_context.add_seconds("queue", 1.0)
        with Stage("embed"):
            return call_context.make_trace_headers()

    assert {} == copy_context().run(work)
