import pytest

from service.index.merge_policy import SegmentRows, choose_merge

LARGE, SMALL, STALE = SegmentRows(10_000, 0), SegmentRows(300, 0), SegmentRows(700, 300)


@pytest.mark.parametrize(
    ("segments", "new", "quiet", "expected"),
    [
        ({}, 99, True, None),
        ({}, 100, False, set()),
        ({1: LARGE}, 99, False, None),
        ({1: LARGE}, 100, False, set()),
        ({1: LARGE, 2: SMALL}, 100, False, {2}),
        ({1: LARGE, 2: SMALL}, 100, True, {2}),
        ({1: LARGE, 2: SMALL}, 500, True, {1, 2}),
        ({1: LARGE, 2: STALE}, 0, False, {2}),
        ({2: SMALL, 3: SMALL}, 20, False, None),
        ({2: SMALL, 3: SMALL}, 20, True, {2, 3}),
        ({2: SMALL, 3: SMALL}, 0, False, None),
        ({2: SMALL, 3: SMALL}, 0, True, {2, 3}),
        ({1: LARGE, 2: SMALL}, 0, True, None),
        ({1: LARGE}, 0, True, None),
    ],
)
def test_merges(
    segments: dict[int, SegmentRows], new: int, quiet: bool, expected: set[int] | None
) -> None:
    """Stale segments and those not much larger than what is new are merged, more when quiet."""
    assert expected == choose_merge(segments, new, 100, quiet=quiet)
