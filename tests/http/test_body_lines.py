from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from service import errors
from service.http import body_lines
from service.http.body_lines import BodyLine, BodyLines

LIMIT = 20


class Chunks:
    """The parts of a body, one for each read; with `hangs`, none follows and the end does not."""

    def __init__(self, parts: Iterable[bytes], *, hangs: bool = False) -> None:
        self._parts = iter(parts)
        self._hangs = hangs

    async def __call__(self) -> bytes | None:
        """The next part."""
        part = next(self._parts, None)
        if part is None and self._hangs:
            await asyncio.Event().wait()
        return part


async def read(parts: Iterable[bytes]) -> list[BodyLine]:
    lines = BodyLines(Chunks(parts), LIMIT)
    found: list[BodyLine] = []
    while group := await lines.read_group():
        found += group
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_lines_do_not_depend_on_the_parts(size: int) -> None:
    """The same lines are read, however the body is cut into parts."""
    body = b"one\n\n two \r\n" + b"x" * 30 + b"\nfour\n" + b"y" * 50
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    assert [
        BodyLine(1, b"one"),
        BodyLine(3, b" two \r"),
        BodyLine(4, None),
        BodyLine(5, b"four"),
        BodyLine(6, None),
    ] == await read(parts)


@pytest.mark.parametrize("size", [1, 7, 25, 1_000])
async def test_long_lines_of_spaces_are_empty(size: int) -> None:
    """Spaces beyond the limit are no line, and those before a line do not count."""
    spaces = b" " * 50
    body = spaces + b"\n" + spaces + b"two\n" + spaces + b"x" * 21 + b"\nfour" + spaces + b"\n"
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    lines = [(line.number, line.text and line.text.strip()) for line in await read(parts)]
    assert [(2, b"two"), (3, None), (4, None)] == lines
    assert [] == await read([spaces[start : start + size] for start in range(0, 50, size)])


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_a_byte_order_mark_begins_a_body(size: int) -> None:
    """The mark before the first line is no part of it, and one before another line is."""
    mark = b"\xef\xbb\xbf"
    body = mark + b"one\n" + mark + b"two\n"
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    assert [BodyLine(1, b"one"), BodyLine(2, mark + b"two")] == await read(parts)
    assert [] == await read([mark])


async def test_the_last_line_needs_no_end() -> None:
    """A body can end with or without the end of a line, and can be empty."""
    assert [BodyLine(1, b"a")] == await read([b"a"])
    assert [BodyLine(1, b"a")] == await read([b"a\n"])
    assert [] == await read([])
    assert [] == await read([b"\n", b"  "])


async def test_a_group_has_a_limit() -> None:
    """A group ends with its number of lines, and the rest is in the next ones."""
    count = 2 * body_lines.GROUP_LINES + 1
    lines = BodyLines(Chunks([b"a\n" * count]), LIMIT)
    sizes = [len(await lines.read_group()) for _ in range(4)]
    assert [body_lines.GROUP_LINES, body_lines.GROUP_LINES, 1, 0] == sizes


async def test_a_long_line_is_a_group_by_itself() -> None:
    """The lines of a group have a limit of bytes together, which only a single line can exceed."""
    limit = body_lines.GROUP_LINE_BYTES
    parts = [b"a" * (size - 1) + b"\n" for size in (limit // 2, limit // 2, 9 * limit, 2, 2)]
    lines = BodyLines(Chunks(parts), 16 * limit)
    groups = [[line.number for line in await lines.read_group()] for _ in range(4)]
    assert [[1, 2], [3], [4, 5], []] == groups


async def test_lines_before_a_failure_are_read() -> None:
    """Lines that have arrived before the body fails are read, and then the failure is raised."""
    parts = Chunks([b"a\nb\nc"])

    async def read_chunk() -> bytes:
        part = await parts()
        if part is None:
            raise errors.NotReady("the service is shutting down")
        return part

    lines = BodyLines(read_chunk, LIMIT)
    assert [BodyLine(1, b"a"), BodyLine(2, b"b")] == await lines.read_group()
    with pytest.raises(errors.NotReady):
        await lines.read_group()


async def test_a_group_does_not_wait_for_more() -> None:
    """Lines that have arrived are read, also while the client pauses before the next one."""
    lines = BodyLines(Chunks([b"a\nb\nc"], hangs=True), LIMIT)
    assert [BodyLine(1, b"a"), BodyLine(2, b"b")] == await lines.read_group()
    lines.close()
