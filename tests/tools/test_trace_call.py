import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trace_call import Reading, Recorder, read


@pytest.mark.parametrize(
    ("files", "reading"),
    [
        ("", Reading((), 0)),
        ("a", Reading(("a",), 0)),
        ("aaa", Reading(("a",), 0)),
        ("abc", Reading(("a", "b", "c"), 0)),
        ("aabba", Reading(("a", "b"), 1)),
        ("abab", Reading(("a", "b"), 2)),
        ("bcacb", Reading(("b", "c", "a"), 2)),
    ],
)
def test_a_return_is_an_entry_into_a_file_that_was_left(files: str, reading: Reading) -> None:
    """Files stand in the order of first entry, and only entries into earlier files are returns."""
    assert reading == read(files)


def outer() -> int:
    """Calls two functions, one of them twice, and one inside a comprehension."""
    return sum(inner() for _ in range(2)) + next(numbers())


def inner() -> int:
    return 1


def numbers() -> Iterator[int]:
    yield 2
    yield 3


def test_a_function_counts_once_at_its_first_call() -> None:
    """The path holds named functions in the order of their first call, and nothing else."""
    recorder = Recorder(Path(__file__).parent)
    sys.setprofile(recorder)
    try:
        path = recorder.record(outer)
    finally:
        sys.setprofile(None)
    assert [("test_trace_call.py", name) for name in ("outer", "inner", "numbers")] == list(path)


def test_a_generator_that_goes_on_is_not_called() -> None:
    """What already ran before the call, and goes on during it, is not on the path."""
    recorder = Recorder(Path(__file__).parent)
    running = numbers()
    next(running)
    sys.setprofile(recorder)
    try:
        path = recorder.record(lambda: (next(running), inner()))
    finally:
        sys.setprofile(None)
    assert [("test_trace_call.py", "inner")] == list(path)
