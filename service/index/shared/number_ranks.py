"""Ranks of numbers, so that integers and hashes decide exactly whether a number is in a range.

An engine keeps payloads as JSON and can read a number back as its neighbor: the parser of Qdrant
rounds twice, which changes a tenth of random fractions. Integers of up to 53 bits come back as they
were, and bounds of ranges have no more bits. So a number becomes its rank, an integer of 64 bits,
whose upper bits are the block that is stored. A range is the blocks that lie within it, and at each
end groups of ranks and single ranks, which are found by their hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.filters import Range

# The bits of a rank below its block: blocks have 53 bits with their sign.
_BLOCK_BITS = 11

# The bits of a rank below its group. An end of a range needs at most 63 groups and 31 ranks.
_GROUP_BITS = 5

_MIN_RANK = -(2**63)
_MAX_RANK = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RankCover:
    """Blocks, groups and ranks that together have each number in a range, and no other."""

    blocks: range
    groups: list[int]
    ranks: list[int]


def get_rank(number: float) -> int:
    """Return the place of a number in the order of all: neighbors differ by 1, zeros do not."""
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return int(bits) if bits >= 0 else -(bits & _MAX_RANK)


def get_block(rank: int) -> int:
    """Return the block of a rank, an integer that a double can have exactly."""
    return rank >> _BLOCK_BITS


def get_group(rank: int) -> int:
    """Return the group of a rank, a part of its block."""
    return rank >> _GROUP_BITS


def cover_range(range_: Range) -> RankCover:
    """Return what has the numbers within all bounds."""
    first, last = _MIN_RANK, _MAX_RANK
    if range_.gt is not None:
        first = get_rank(range_.gt) + 1
    if range_.gte is not None:
        first = max(first, get_rank(range_.gte))
    if range_.lt is not None:
        last = get_rank(range_.lt) - 1
    if range_.lte is not None:
        last = min(last, get_rank(range_.lte))
    blocks = _get_blocks(first, last, _BLOCK_BITS)
    cover = RankCover(blocks, [], [])
    for end in _list_ends(first, last, blocks, _BLOCK_BITS):
        groups = _get_blocks(end.start, end.stop - 1, _GROUP_BITS)
        cover.groups.extend(groups)
        for ranks in _list_ends(end.start, end.stop - 1, groups, _GROUP_BITS):
            cover.ranks.extend(ranks)
    return cover


def _get_blocks(first: int, last: int, bits: int) -> range:
    """Return the blocks of 2^bits ranks that lie from the first to the last rank."""
    return range(-(-first >> bits), (last + 1) >> bits)


def _list_ends(first: int, last: int, blocks: range, bits: int) -> Iterator[range]:
    """Yield the ranks from the first to the last that are in none of these blocks."""
    if not blocks:
        yield range(first, last + 1)
        return
    yield range(first, blocks.start << bits)
    yield range(blocks.stop << bits, last + 1)
