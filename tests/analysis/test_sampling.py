import time

import pytest

from service.analysis.sampling import Examination, Sample
from service.telemetry.call_context import deadline

PEOPLE = Sample([str(n) for n in range(10)], 10, 7)


class Clock:
    """Seconds that go on by one each time they are asked for."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        self.now += 1.0
        return self.now


def test_without_a_deadline_everything_is_seen() -> None:
    """All items come once, in their order, and the coverage tells so."""
    sample = Examination(PEOPLE)
    assert PEOPLE.item_ids == [each for some in sample.iterate_batches(3) for each in some]
    assert (10, 10, False, 7) == (
        sample.coverage.item_count,
        sample.coverage.examined_item_count,
        sample.coverage.sampled,
        sample.coverage.sequence,
    )


@pytest.mark.parametrize(("end", "seen"), [(4.0, 6), (0.0, 0), (100.0, 10)])
def test_near_the_deadline_it_ends(end: float, seen: int) -> None:
    """It ends half a second before the deadline, and what was seen is a sample."""
    token = deadline.set(end)
    try:
        sample = Examination(PEOPLE, Clock())
    finally:
        deadline.reset(token)
    assert seen == sum(map(len, sample.iterate_batches(3)))
    assert (seen, seen < 10) == (sample.coverage.examined_item_count, sample.coverage.sampled)


def test_of_too_many_a_sample_is_seen() -> None:
    """Where there are more items than are gone over, the answer is of a sample."""
    sample = Examination(Sample(["a", "b"], 5, 1))
    assert 2 == sum(map(len, sample.iterate_batches(10)))
    assert (5, 2, True) == (
        sample.coverage.item_count,
        sample.coverage.examined_item_count,
        sample.coverage.sampled,
    )


def test_half_of_a_short_time_is_left_for_the_answer() -> None:
    """With less than a second to go, half of it is used for looking."""
    token = deadline.set(time.monotonic() + 0.4)
    try:
        assert not Examination(PEOPLE).is_out_of_time
    finally:
        deadline.reset(token)
