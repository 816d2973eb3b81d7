import math
from collections.abc import Iterator
from random import Random

import pytest
from qdrant_client import QdrantClient, models
from support.points import ComparedPoints, compare_random_filters

from service.domain.filters import Condition, ContainsAny, Equals, Exists, Filter, OneOf, Range
from service.domain.items import JsonValue
from service.index.columns import VALUELESS_HASHES, hash_value
from service.index.shared.point_filters import list_range_fields, translate_filter

# The local mode has no indexes and warns of it; a server needs them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

Test = Equals | OneOf | ContainsAny | Range | Exists | Filter

YES, NO = True, False

NESTED: list[JsonValue] = [[1], 2]
ODD_VALUES: tuple[JsonValue, ...] = (
    *(None, [], {}, "", [None], [[]], [{}], 1, 1.0, True, "1", [1], [True], ["1"]),
    *(0, -0.0, False, [-0.0], [[1]], NESTED, 2**53, 2**53 + 1, 2.0**53 + 2, 1e308),
    *([-1e308, 1e308], {"b": 1}, [{"b": 1}], "2026-05-04", "2026-05-04T02:00:00+02:00"),
    ["x", "2026-05-04T00:00Z"],
)
BOTH: dict[str, JsonValue] = {"a.b": 5, "a": {"b": 1}}
ODD_ATTRIBUTES: tuple[dict[str, JsonValue], ...] = (
    *({"a": value} for value in ODD_VALUES),
    {},
    {"a.b": 1},
    BOTH,
)
"""Items that engines and columns could see differently; numbers can also be integers."""


@pytest.fixture(scope="module")
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


@pytest.fixture
def odd_points(client: QdrantClient) -> ComparedPoints:
    return ComparedPoints(client, ODD_ATTRIBUTES)


def find(points: ComparedPoints, attribute: str, test: Test) -> list[dict[str, JsonValue]]:
    keys = points.find_keys(Filter(all=(Condition(attribute, test),)))
    return [ODD_ATTRIBUTES[points.keys.index(key)] for key in keys]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_points_pass_as_columns_do(client: QdrantClient, seed: int) -> None:
    """A translated filter has exactly the points whose attributes pass in columns."""
    compare_random_filters(client, Random(seed))


def test_odd_values_pass_as_in_columns(odd_points: ComparedPoints) -> None:
    """Each test of each odd value passes the same points as in columns."""
    values = (1.0, True, "1", 0.0, -0.0, False, "", "x", "2026-05-04", 2.0**53, 2**53 + 1, 1e308)
    for path in ("a", "a.b", "never"):
        for value in values:
            for test in (Equals(value), Equals((value,)), OneOf((value,)), ContainsAny((value,))):
                find(odd_points, path, test)
            if isinstance(value, float):
                for range_ in (
                    Range(gt=value),
                    Range(gte=value),
                    Range(lt=value),
                    Range(lte=value),
                ):
                    find(odd_points, path, range_)
        find(odd_points, path, Equals(()))
        find(odd_points, path, Exists(YES))
        find(odd_points, path, Exists(NO))


def test_types_differ(odd_points: ComparedPoints) -> None:
    """The number 1, true and the string "1" differ; 1 and 1.0 do not, nor do both zeros."""
    assert [{"a": 1}, {"a": 1.0}] == find(odd_points, "a", Equals(1.0))
    assert [True] == [value["a"] for value in find(odd_points, "a", Equals(YES))]
    assert [{"a": "1"}] == find(odd_points, "a", OneOf(("1",)))
    assert [{"a": 0}, {"a": -0.0}] == find(odd_points, "a", Equals(-0.0))
    assert [{"a": True}, {"a": [True]}] == find(odd_points, "a", ContainsAny((YES,)))


def test_lists_are_whole_values(odd_points: ComparedPoints) -> None:
    """A list equals only the same list, and an empty one is there but contains nothing."""
    assert [{"a": [1]}] == find(odd_points, "a", Equals((1.0,)))
    assert [{"a": []}] == find(odd_points, "a", Equals(()))
    assert {"a": []} in find(odd_points, "a", Exists(YES))
    assert [{"a": None}, {}, {"a.b": 1}] == find(odd_points, "a", Exists(NO))
    assert [{"a": NESTED}] == find(odd_points, "a", ContainsAny((2.0,)))


def test_colliding_paths_count_both(odd_points: ComparedPoints) -> None:
    """A key with a dot and the path into an object are the same attribute; lists hide theirs."""
    assert [{"a": {"b": 1}}, {"a.b": 1}, BOTH] == find(odd_points, "a.b", Equals(1.0))
    assert [BOTH] == find(odd_points, "a.b", Equals(5.0))
    assert [BOTH] == find(odd_points, "a.b", Range(gt=4.0))


def test_bounds_hold_for_one_number(odd_points: ComparedPoints) -> None:
    """A list with a number below and one above both bounds, but none between, does not pass."""
    assert {"a": [-1e308, 1e308]} in find(odd_points, "a", Range(gt=0.0))
    assert {"a": [-1e308, 1e308]} not in find(odd_points, "a", Range(gt=-1e307, lt=1e307))


def test_times_are_seconds(odd_points: ComparedPoints) -> None:
    """Timestamps lie in ranges by their instant, but equal only the same text."""
    midnight = 1_777_852_800.0
    assert [{"a": "2026-05-04"}, {"a": "2026-05-04T02:00:00+02:00"}] == find(
        odd_points, "a", Range(gte=midnight, lte=midnight)
    )
    assert [{"a": "2026-05-04"}] == find(odd_points, "a", Equals("2026-05-04"))
    assert [] == find(odd_points, "a", Equals(midnight))


def test_an_empty_filter_passes_all(odd_points: ComparedPoints) -> None:
    """A filter without conditions passes every point, even one without attributes."""
    assert odd_points.keys == odd_points.find_keys(Filter())


def test_values_to_exclude(odd_points: ComparedPoints) -> None:
    """The points to exclude have one of the values, alone or in a list; no value excludes none."""
    one = hash_value(1.0)
    found = odd_points.find_keys_with_values("a", [one])
    assert [{"a": 1}, {"a": 1.0}, {"a": [1]}] == [
        ODD_ATTRIBUTES[odd_points.keys.index(key)] for key in found
    ]
    assert [] == odd_points.find_keys_with_values("a", [])
    odd_points.find_keys_with_values("a", VALUELESS_HASHES)


def test_range_fields_are_those_of_all_levels() -> None:
    """The fields of all ranges are listed, nested ones too, and no fields of other tests."""
    nested = Filter(none=(Condition("b", Range(lt=1.0)), Condition("c", Exists(YES))))
    filter_ = Filter((Condition("a", Range(gt=0.0)),), (Condition("", nested),))
    fields = list_range_fields(filter_)
    assert fields == list_range_fields(Filter(any=filter_.all, none=nested.none))
    assert 2 == len(fields)
    assert all(field.startswith("n.") for field in fields)
    assert set() == list_range_fields(Filter((Condition("a", Equals(1.0)),)))


def test_range_reads_its_listed_field() -> None:
    """The field that is listed for a range is the one that its condition reads."""
    filter_ = Filter((Condition("a", Range(gte=0.0)),))
    (condition,) = translate_filter(filter_).must or []
    assert isinstance(condition, models.FieldCondition)
    assert {condition.key} == list_range_fields(filter_)


@pytest.mark.parametrize("number", [0.0, 0.1, -19.99, 1.0, 2.0**53, -5e-324, 1e308])
def test_neighbors_differ(client: QdrantClient, number: float) -> None:
    """Each bound tells a number from both of its neighbors, and so do two bounds at once."""
    numbers = [math.nextafter(number, -math.inf), number, math.nextafter(number, math.inf)]
    points = ComparedPoints(client, [{"a": value} for value in numbers])
    ranges = [(Range(gt=number), [2]), (Range(gte=number), [1, 2])]
    ranges += [(Range(lt=number), [0]), (Range(lte=number), [0, 1])]
    ranges += [(Range(gte=number, lte=number), [1]), (Range(gt=numbers[0], lt=numbers[2]), [1])]
    ranges += [(Range(gt=number, lte=number), []), (Range(gte=number, lt=number - 1.0), [])]
    for range_, places in ranges:
        keys = points.find_keys(Filter((Condition("a", range_),)))
        assert [points.keys[place] for place in places] == keys
