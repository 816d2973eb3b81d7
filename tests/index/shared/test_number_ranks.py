import math
import sys
from random import Random

import pytest

from service.domain.filters import Range
from service.index.shared.number_ranks import (
    RankCover,
    cover_range,
    get_block,
    get_group,
    get_rank,
)

NUMBERS = (0.0, 5e-324, -5e-324, 0.1, 0.30000000000000004, 1.0, -19.99, 2.0**53, 1e308)


def move(number: float, steps: int) -> float:
    """Return the number that is a number of representable numbers away."""
    for _ in range(abs(steps)):
        number = math.nextafter(number, math.copysign(math.inf, steps))
    return number


def has(cover: RankCover, number: float) -> bool:
    rank = get_rank(number)
    places = (get_block(rank) in cover.blocks, get_group(rank) in cover.groups, rank in cover.ranks)
    assert sum(places) <= 1
    return any(places)


@pytest.mark.parametrize("seed", range(10))
def test_cover_has_the_numbers_within_bounds(seed: int) -> None:
    """A cover has exactly the numbers that its bounds let pass, those next to a bound included."""
    random = Random(seed)
    for _ in range(20):
        low = random.choice((*NUMBERS, random.uniform(-1e6, 1e6)))
        high = random.choice((move(low, random.randrange(5_000)), random.uniform(low, 1e9), low))
        for range_ in (Range(gt=low, lt=high), Range(gte=low, lte=high), Range(gt=low)):
            cover = cover_range(range_)
            for bound in (low, high):
                for steps in (0, 1, -1, random.randrange(-2_500, 2_500)):
                    number = move(bound, steps)
                    assert is_within(number, range_) is has(cover, number), (number, range_)


def is_within(number: float, range_: Range) -> bool:
    return (
        (range_.gt is None or number > range_.gt)
        and (range_.gte is None or number >= range_.gte)
        and (range_.lt is None or number < range_.lt)
        and (range_.lte is None or number <= range_.lte)
    )


def test_ranks_are_in_order() -> None:
    """Ranks rise with numbers, neighbors differ by 1, and both zeros have one rank."""
    assert get_rank(0.0) == get_rank(-0.0)
    for number in NUMBERS:
        assert 1 == get_rank(math.nextafter(number, math.inf)) - get_rank(number)
    ordered = sorted((*NUMBERS, -1e308, -1.0))
    assert ordered == sorted(ordered, key=get_rank)


def test_blocks_are_exact_as_doubles() -> None:
    """The blocks of the largest numbers, and what bounds blocks, are integers below 2^53."""
    for number in (sys.float_info.max, -sys.float_info.max):
        assert abs(get_block(get_rank(number))) < 2**52
    blocks = cover_range(Range()).blocks
    assert (-(2**52), 2**52) == (blocks.start, blocks.stop)


def test_whole_bounds_need_no_hashes() -> None:
    """Inclusive lower and exclusive upper bounds that are whole numbers are ends of blocks."""
    for number in (0.0, 1.0, 100.0, 1_777_888_800.0):
        cover = cover_range(Range(gte=number, lt=number + 1))
        assert ([], []) == (cover.groups, cover.ranks)


def test_an_end_needs_few_hashes() -> None:
    """However odd the bounds are, a range needs at most 63 groups and 31 ranks at each end."""
    for number in NUMBERS:
        for bounds in (Range(gt=number), Range(gte=number), Range(lt=number), Range(lte=number)):
            cover = cover_range(bounds)
            assert len(cover.groups) <= 63
            assert len(cover.ranks) <= 31
