import io
import itertools
from typing import Any

import pytest

from service.cli.formats.json_array import read_json_array
from service.cli.formats.json_lines import read_json_lines
from service.cli.formats.rows import MAX_JSON_BYTES, LineError


def show(rows: Any) -> list[tuple[int, Any]]:
    return [
        (number, str(value) if isinstance(value, LineError) else value) for number, value in rows
    ]


def read_lines(content: bytes) -> list[tuple[int, Any]]:
    return show(read_json_lines(io.BytesIO(content)).rows)


def read_array(content: bytes) -> list[tuple[int, Any]]:
    return show(read_json_array(io.BytesIO(content)).rows)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "a: occurs twice"),
        ('{"x": {"a": 1, "a": 1}}', "x.a: occurs twice"),
        ('{"a": NaN}', "a: NaN is not a JSON number; use null"),
        ('{"a": [1, -Infinity]}', "a[1]: -Infinity is not a JSON number; use null"),
        ('{"a": 1e400}', "a: the number 1e400 cannot be stored exactly; use a string"),
        ('{"a": 1e-400}', "a: the number 1e-400 cannot be stored exactly; use a string"),
        ('{"a": 9007199254740993.0}', "a: the number 9007199254740993.0 cannot be stored exactly"),
        ('{"a": 1%s}' % ("0" * 5000), f"a: the number 1{'0' * 19}... cannot be stored exactly"),
        ('{"a": "half \\ud83d"}', "a: contains half of a surrogate pair (\\ud83d)"),
        ('{"a": {"b\\ud83d": 1}}', "a: contains half of a surrogate pair (\\ud83d)"),
    ],
    ids=itertools.count(),
)
def test_a_value_that_would_change_fails_alone(value: str, problem: str) -> None:
    """What Python or the contract cannot represent fails its line or element, and no other."""
    (first, second, third) = read_lines(f'{{"n": 1}}\n{value}\n{{"n": 2}}\n'.encode())
    assert ((1, {"n": 1}), (3, {"n": 2}), 2) == (first, third, second[0])
    assert second[1].startswith(problem)
    (first, second, third) = read_array(f'[{{"n": 1}},\n{value},\n{{"n": 2}}]'.encode())
    assert ((1, {"n": 1}), (3, {"n": 2}), 2) == (first, third, second[0])
    assert second[1].startswith(problem)


@pytest.mark.parametrize(
    "value",
    [
        '{"a": 0.0}',
        '{"a": 0e5}',
        '{"a": "\\ud83d\\ude00"}',
        '{"a": 1e22}',
        '{"a": 9007199254740992.0}',
    ],
)
def test_values_that_stay_the_same_pass(value: str) -> None:
    """Zeros, whole surrogate pairs and numbers of a double are valid."""
    ((_, parsed),) = read_lines(value.encode())
    assert isinstance(parsed, dict)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "not JSON: "),
        (b'{"a": 1} x', "not JSON: more text after the value, at character 9"),
        (b"[" * 100_000, "not JSON: too many levels of brackets"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 0xe9"),
        (b"\0" * 512, "only NUL bytes"),
        (b'{"a": "' + b"x" * MAX_JSON_BYTES + b'"}', f"longer than {MAX_JSON_BYTES} bytes"),
        ('{"a": "' + "é" * (MAX_JSON_BYTES // 2) + '"}', f"longer than {MAX_JSON_BYTES} bytes"),
    ],
    ids=itertools.count(),
)
def test_a_bad_line_fails_alone(line: bytes | str, problem: str) -> None:
    """A line that is not JSON, is damaged or is too long does not affect the next one."""
    content = line if isinstance(line, bytes) else line.encode()
    (first, second) = read_lines(content + b'\n{"n": 1}')
    assert (1, (2, {"n": 1})) == (first[0], second)
    assert first[1].startswith(problem)


@pytest.mark.parametrize("size", [1, 65_530, 65_536, 200_000, 1_000_000])
def test_values_of_any_length_are_joined_from_pieces(size: int) -> None:
    """An element of an array may be longer than a piece of the stream, or end with it."""
    text = "é" * size
    content = f'[{{"text": "{text}"}},\n 12345, {{"n": {"7" * 15}}}\n]'.encode()
    assert [(1, {"text": text}), (2, 12345), (2, {"n": int("7" * 15)})] == read_array(content)
