import time

import pytest

from service.analysis.examination import Examination, Sample
from service.telemetry.call_context import deadline

SAMPLE = Sample([str(n) for n in range(10)], 10, 7)


class Clock:
    """A clock that advances by one second at each reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        self.now += 1.0
        return self.now


def test_without_a_deadline_all_items_are_examined() -> None:
    """All items are examined once in their order, and the coverage says so."""
    examination = Examination(SAMPLE)
    assert SAMPLE.item_ids == [
        item_id for batch in examination.iterate_batches(3) for item_id in batch
    ]
    assert (10, 10, False, 7) == (
        examination.coverage.item_count,
        examination.coverage.examined_item_count,
        examination.coverage.sampled,
        examination.coverage.sequence,
    )


@pytest.mark.parametrize(("end", "examined_count"), [(4.0, 6), (0.0, 0), (100.0, 10)])
def test_the_examination_ends_before_the_deadline(end: float, examined_count: int) -> None:
    """It ends half a second before the deadline, and reports that it covers a sample."""
    token = deadline.set(end)
    try:
        examination = Examination(SAMPLE, Clock())
    finally:
        deadline.reset(token)
    assert examined_count == sum(map(len, examination.iterate_batches(3)))
    assert (examined_count, examined_count < 10) == (
        examination.coverage.examined_item_count,
        examination.coverage.sampled,
    )


def test_a_smaller_sample_is_reported_as_sampled() -> None:
    """If the sample has fewer items than the catalog, the coverage says that it is sampled."""
    examination = Examination(Sample(["a", "b"], 5, 1))
    assert 2 == sum(map(len, examination.iterate_batches(10)))
    assert (5, 2, True) == (
        examination.coverage.item_count,
        examination.coverage.examined_item_count,
        examination.coverage.sampled,
    )


def test_half_of_a_short_time_is_left_for_the_reply() -> None:
    """If the deadline is less than a second away, half of the time is used to examine items."""
    token = deadline.set(time.monotonic() + 0.4)
    try:
        assert not Examination(SAMPLE).is_out_of_time
    finally:
        deadline.reset(token)
