"""The thread that writes the lines of the log."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from service.telemetry.log_writer import MAX_LINES, LogWriter

LINE_BYTES = 300


@contextmanager
def open_pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe: the ends to read from and to write to."""
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def make_line(writer: int, number: int) -> bytes:
    """Return a line whose end says whether it is whole."""
    start = f"{writer} {number} ".encode()
    return start + b"x" * (LINE_BYTES - len(start) - 1) + b"\n"


def read_lines(reader: int, count: int) -> list[bytes]:
    """Return the next lines of a pipe."""
    data = b""
    while data.count(b"\n") < count:
        data += os.read(reader, 65_536)
    return data.splitlines(keepends=True)


def test_lines_of_several_writers_do_not_mix() -> None:
    """Each line of each writer to one pipe arrives whole, and those of a writer in order."""
    counts: list[int] = []
    with open_pipe() as (reader, end):
        writers = [LogWriter(end, counts.append) for _ in range(3)]
        for number in range(200):
            for position, writer in enumerate(writers):
                writer.write(make_line(position, number), is_urgent=number % 50 == 0)
        lines = read_lines(reader, 600)
    expected = [[make_line(position, number) for number in range(200)] for position in range(3)]
    found = [[line for line in lines if line.startswith(b"%d " % n)] for n in range(3)]
    assert expected == found
    assert [] == counts


def test_the_last_lines_are_written_at_the_end() -> None:
    """After a flush, all lines are in the pipe."""
    with open_pipe() as (reader, end):
        writer = LogWriter(end, lambda _: None)
        for number in range(20):
            writer.write(make_line(0, number), is_urgent=False)
        writer.flush()
        os.set_blocking(reader, False)
        assert [make_line(0, number) for number in range(20)] == read_lines(reader, 20)


def test_a_log_that_nobody_reads_stops_nobody() -> None:
    """While a pipe is full, lines are taken up to a limit; the number of the others is reported."""
    written = 3 * MAX_LINES
    with open_pipe() as (reader, end):
        writer = LogWriter(end, lambda lines: writer.write(b"dropped %d\n" % lines, is_urgent=True))
        for number in range(written):
            writer.write(make_line(0, number), is_urgent=False)
        data = b""
        while not (data.endswith(b"\n") and b"dropped" in data):
            data += os.read(reader, 65_536)
    *kept, last = data.splitlines()
    assert MAX_LINES <= len(kept) < written
    assert b"dropped %d" % (written - len(kept)) == last


def test_a_closed_pipe_stops_nobody() -> None:
    """Lines to a pipe that nobody reads any more are dropped without an error."""
    reader, end = os.pipe()
    os.close(reader)
    writer = LogWriter(end, lambda _: None)
    writer.write(make_line(0, 0), is_urgent=True)
    writer.flush()
    os.close(end)
