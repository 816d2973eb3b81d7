from datetime import UTC, datetime
from typing import Any

import akin
import pytest
from support.mapped_rows import MappedRows

from service.cli.formats.rows import FileError
from service.cli.table_columns import SAMPLE_ROWS
from service.cli.table_mapping import TableOptions

TIME = datetime(2009, 1, 1, tzinfo=UTC)
SECONDS = str(int(TIME.timestamp()))


def test_json_lines_can_be_of_every_kind() -> None:
    """Among JSON lines, those with a user and an item are interactions; others stay as they are."""
    item, user = {"id": "a", "text": "tea"}, {"user_id": "ann", "liked": ["a"]}
    mapping = MappedRows(
        [
            item,
            {"user_id": "ann", "item_id": "a", "type": "LIKE", "time": "2009-01-01T00:00:00Z"},
            user,
            {"userId": 7, "movieId": 8, "event": "buy", "value": 9.5, "ts": int(SECONDS)},
            {"user_id": "ann", "item_id": "a", "type": "VIEW", "interaction_id": "e1"},
            3,
        ]
    )
    first, like, second, purchase, view, third = mapping.values
    assert [item, user, 3] == [first, second, third]
    assert akin.interaction("ann", "a", "LIKE", TIME) == like
    assert akin.interaction("7", "8", "PURCHASE", TIME, value=9.5) == purchase
    assert ("e1", 5_000) == (view.interaction_id, view.time.nanos)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"device": "ios"}, "device: unknown field of an interaction; --ignore-unknown ignores it"),
        ({"tipe": "VIEW"}, "tipe: unknown field of an interaction; did you mean type?"),
        ({"text": "a review"}, "text: unknown field of an interaction"),
        ({"type": 3}, "type: unknown event 3"),
        ({"type": None}, "type: is required"),
        ({"type": True}, "type: must be a string or an integer"),
        ({"user_id": None}, "user_id: is required"),
        ({"user_id": 1.5}, "user_id: must be a string or an integer"),
        ({"item_id": ["a"]}, "item_id: must be a string or an integer"),
        ({"value": "many"}, "value: must be a number"),
        ({"value": "4,5"}, "value: must be a number that can be stored exactly, with a decimal"),
        ({"value": True}, "value: must be a number"),
        ({"value": 2**53 + 1}, "value: must be a number that can be stored exactly"),
        ({"value": 10**400}, "value: must be a number that can be stored exactly"),
        ({"time": [2009]}, "time: must be a number since 1970 or a date"),
    ],
)
def test_a_bad_json_line_is_refused(line: dict[str, Any], problem: str) -> None:
    """A field of a JSON interaction with a wrong value or name is named, and never dropped."""
    (value,) = MappedRows([{"user_id": "u", "item_id": "i", "type": "VIEW"} | line]).values
    assert isinstance(value, str)
    assert value.startswith(problem)


def test_unknown_fields_can_be_ignored() -> None:
    """With --ignore-unknown, the rest of a JSON interaction is imported."""
    line = {"user_id": "u", "item_id": "i", "type": "VIEW", "device": "ios"}
    assert ["VIEW"] == MappedRows([line], ignore_unknown=True).types


def test_ratings_in_json_lines_have_a_rule() -> None:
    """The first ratings determine the scale, also after other lines, and it is reported."""
    items = [{"id": str(number), "text": "tea"} for number in range(SAMPLE_ROWS + 5)]
    ratings = [{"user": "u", "item": str(number), "rating": number} for number in range(1, 6)]
    mapping = MappedRows([*items, *ratings])
    assert items == mapping.values[: len(items)]
    types = ["DISLIKE", "DISLIKE", "VIEW", "LIKE", "LIKE"]
    assert types == [value.type for value in mapping.values[len(items) :]]
    assert ["type of ratings: LIKE from 3.5, DISLIKE below 2.5, VIEW otherwise"] == mapping.lines
    with pytest.raises(FileError, match="the scale of rating is unknown"):
        MappedRows([*ratings, {"user": "u", "item": "x", "rating": 10}])
    with_types = [{"user": "u", "item": "x", "rating": 10, "type": "VIEW"}, *ratings]
    assert ["VIEW", *types] == MappedRows(with_types).types
    assert ["LIKE"] * 5 == MappedRows(ratings, default_type="LIKE").types


def test_json_objects_can_be_mapped_like_rows() -> None:
    """With --map, the fields of JSON objects are columns, and other ones are ignored."""
    objects = [{"who": "u", "item": "i", "stars": 5, "device": "ios"}, {"who": "v", "item": "j"}]
    columns = {"user_id": "who"}
    mapping = MappedRows(objects, table=TableOptions(columns), columns=columns)
    assert "LIKE" == mapping.types[0]
    assert mapping.types[1].startswith("type: is required")
    assert "ignored column: device" == mapping.lines[-1]
