import string

from service.domain.items import JsonValue
from service.index.columns import hash_value
from service.index.shared.number_ranks import get_block, get_group, get_rank
from service.index.shared.point_attributes import (
    PointAttributes,
    encode_attributes,
    hash_element,
    hash_group,
    hash_path,
    hash_rank,
    hash_whole_value,
    name_numbers,
)


def hash_number(path: str, number: float) -> set[int]:
    rank = get_rank(number)
    return {hash_group(path, get_group(rank)), hash_rank(path, rank)}


def list_blocks(*numbers: float) -> list[int]:
    return [get_block(get_rank(number)) for number in numbers]


def test_a_value_has_its_hashes_and_numbers() -> None:
    """A list has the hashes of its path, of itself, of each scalar and number, and its blocks."""
    value: list[JsonValue] = ["x", 2.0, 2.0, True, "1970-01-02", None, [3.0], {"b": 4.0}]
    encoded = encode_attributes({"a": value})
    scalars: tuple[JsonValue, ...] = ("x", 2.0, True, "1970-01-02")
    expected = {hash_path("a"), hash_whole_value("a", hash_value(value))}
    expected.update(hash_element("a", hash_value(scalar)) for scalar in scalars)
    expected |= hash_number("a", 2.0) | hash_number("a", 86_400.0)
    assert sorted(expected) == encoded.hashes
    assert {name_numbers("a"): list_blocks(2.0, 2.0, 86_400.0)} == encoded.numbers


def test_paths_that_collide_add_up() -> None:
    """A key with a dot and a key in an object have one path with the numbers of both."""
    encoded = encode_attributes({"a.b": 1.0, "a": {"b": [2.0, 3.0]}})
    assert {name_numbers("a.b"): list_blocks(1.0, 2.0, 3.0)} == encoded.numbers
    assert {hash_whole_value("a.b", hash_value(1.0)), hash_path("a")} <= set(encoded.hashes)


def test_null_is_no_value() -> None:
    """Null is no value, and a path without numbers has no list of numbers."""
    assert PointAttributes([], {}) == encode_attributes({})
    assert PointAttributes([], {}) == encode_attributes({"a": None})
    assert {} == encode_attributes({"a": "x", "b": [True], "c": {}}).numbers


def test_hashes_are_signed_distinct_integers() -> None:
    """Hashes fit into 64 bits with a sign, half of them negative, and equal ones occur once."""
    encoded = encode_attributes({f"{number}": ["x", "x"] for number in range(100)})
    assert 300 == len(encoded.hashes) == len(set(encoded.hashes))
    assert encoded.hashes == sorted(encoded.hashes)
    assert all(-(2**63) <= value < 2**63 for value in encoded.hashes)
    assert 100 < sum(value < 0 for value in encoded.hashes) < 200


def test_names_are_plain() -> None:
    """The name of a path's numbers has only digits and letters, however odd the path is."""
    names = [name_numbers(path) for path in ("a", "a.b", "", 'é[0]."x"', "n")]
    assert 5 == len(set(names))
    assert all(16 == len(name) and set(name) <= set(string.hexdigits) for name in names)


def test_kinds_differ() -> None:
    """The same path and integer have different hashes for each kind."""
    kinds = {hash_whole_value("a", 7), hash_element("a", 7), hash_group("a", 7), hash_rank("a", 7)}
    assert 5 == len(kinds | {hash_path("a")})
