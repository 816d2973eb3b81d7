from collections.abc import Iterable, Sequence
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
COLUMNS = (
    "interactions: user_id from userId, item_id from movieId, value from rating, "
    "time from timestamp"
)


def map_with_columns(rows: Iterable[Any], header: Sequence[str], **columns: str) -> MappedRows:
    """Map rows with --map."""
    return MappedRows(rows, header, TableOptions(columns), columns=columns)


def test_ratings_are_mapped_without_options() -> None:
    """A table of ratings becomes interactions whose types the ratings determine."""
    mapping = MappedRows(
        [["1", "31", "2.0", SECONDS], ["1", "1029", "4.5", SECONDS]],
        ["userId", "movieId", "rating", "timestamp"],
    )
    assert [
        akin.interaction("1", "31", "DISLIKE", TIME, value=2.0),
        akin.interaction("1", "1029", "LIKE", TIME, value=4.5),
    ] == mapping.values
    assert [
        COLUMNS,
        "type: LIKE from 3.5, DISLIKE below 2.5, VIEW otherwise",
    ] == mapping.lines


def test_events_are_mapped_without_options() -> None:
    """A table of events becomes interactions; columns that are no field are named and ignored."""
    mapping = MappedRows(
        [
            [f"{SECONDS}000", "257597", "view", "355908", ""],
            [f"{SECONDS}001", "257597", "transaction", "355908", "4000"],
            [f"{SECONDS}001", "257597", "levitate", "355908", ""],
        ],
        ["timestamp", "visitorid", "event", "itemid", "transactionid"],
    )
    assert ["VIEW", "PURCHASE"] == mapping.types[:2]
    assert "--type-map 'levitate=TYPE'" in mapping.types[2]
    assert "ignored column: transactionid" == mapping.lines[-1]


@pytest.mark.parametrize(
    "header",
    [
        ["user_id", "item_id", "rating", "timestamp"],
        ["User-ID", "ISBN", "Book-Rating", "date"],
        ["reviewerID", "asin", "overall", "unixReviewTime"],
        ["customer_id", "product_id", "stars", "created_at"],
        ["USER", "Item", "Score", "TS"],
    ],
)
def test_usual_names_of_columns_are_recognized(header: list[str]) -> None:
    """Columns are found by their usual names, in any spelling."""
    (value,) = MappedRows([["u", "i", "5", SECONDS]], header).values
    assert akin.interaction("u", "i", "LIKE", TIME, value=5) == value


def test_rows_without_a_time_are_in_the_order_of_the_file() -> None:
    """The time of a row without one is its position in microseconds, whatever other rows have."""
    rows = [["u", "a", "view", ""], ["u", "b", "odd", ""], ["u", "a", "view", ""]]
    mapping = MappedRows(rows, ["user", "item", "event", "time"])
    first, _, third = mapping.values
    assert (1_000, 3_000) == (first.time.nanos, third.time.nanos)
    assert (0, 0) == (first.time.seconds, third.time.seconds)
    (value,) = MappedRows([["u", "a", "view"]], ["user", "item", "event"]).values
    assert first == value


def test_play_counts_need_an_option() -> None:
    """Amounts and ratings of other scales are refused as a whole, before anything is stored."""
    rows = [["2", "51", "13883"], ["2", "52", "4"]]
    header = ["userID", "artistID", "weight"]
    for failing in (rows, [["2", "51", "1"]]):
        with pytest.raises(FileError, match=r"the scale of weight is unknown.*--like-from"):
            MappedRows(failing, header)
    with pytest.raises(FileError, match="from 1 to 10"):
        MappedRows([["1", "2", "1"], ["1", "3", "10"]], ["user", "item", "rating"])
    assert ["LIKE", "VIEW"] == MappedRows(rows, header, like_from=100).types
    assert ["LIKE", "DISLIKE"] == MappedRows(rows, header, like_from=100, dislike_below=5).types
    assert ["SHARE", "SHARE"] == MappedRows(rows, header, default_type="SHARE").types
    (first, _) = MappedRows(rows, header, default_type="VIEW").values
    assert 13883 == first.value


def test_a_later_rating_outside_of_the_scale_fails_alone() -> None:
    """If a rating after the first rows shows another scale, its row fails and others do not."""
    rows = [["u", str(number), "4"] for number in range(SAMPLE_ROWS)]
    mapping = MappedRows([*rows, ["u", "x", "9"], ["u", "y", "3"]], ["user", "item", "rating"])
    *_, failed, last = mapping.types
    assert "value: the rating 9 is not above 0 and up to 5" in failed
    assert "VIEW" == last


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["", "i", "like", "", ""], "user_id: is required"),
        (["u", "", "like", "", ""], "item_id: is required"),
        (["u", "i", "", "4", ""], "type: is required"),
        (["u", "i", "like", "good", ""], "value: must be a number"),
        (["u", "i", "like", "4,5", ""], "value: must be a number"),
        (["u", "i", "like", "nan", ""], "value: must be a number"),
        (["u", "i", "like", "9007199254740993", ""], "value: must be a number that can be stored"),
        (["u", "i", "like", "", "soon"], "time: must be a number since 1970 or a date"),
    ],
)
def test_a_bad_row_fails_alone(cells: list[str], problem: str) -> None:
    """A row with a missing or wrong value fails, and the next one does not."""
    mapping = MappedRows(
        [cells, ["u", "i", "like", "4.5", SECONDS]], ["user", "item", "type", "value", "time"]
    )
    failed, last = mapping.values
    assert failed.startswith(problem)
    assert akin.interaction("u", "i", "LIKE", TIME, value=4.5) == last


def test_a_missing_rating_fails_its_row() -> None:
    """If ratings determine the types, a row without one has no type."""
    mapping = MappedRows([["u", "i", "5"], ["u", "j", ""]], ["user", "item", "rating"])
    assert "type: is required, or a rating" in mapping.types[1]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (["userId", "movieId"], "no column is the type or a rating"),
        (["userId", "movieId", "tag", "timestamp"], "no column is the type or a rating"),
        (["user", "artistID", "trackID", "event"], "artistID and trackID can both be the item_id"),
        (["user", "item", "title", "rating"], "title can be the text of an item; use --interact"),
        (["user_id", "item_id", "text", "type"], "text can be the text of an item"),
    ],
)
def test_unclear_columns_are_refused(header: list[str], problem: str) -> None:
    """A table that can be read in two ways, or in none, is refused with the option for it."""
    with pytest.raises(FileError, match=problem):
        MappedRows([["1"] * len(header)], header)


@pytest.mark.parametrize("header", [["userId", "rating", "timestamp"], ["visitorid", "event"]])
def test_a_missing_column_of_items_is_named(header: list[str]) -> None:
    """A table with users and what they did, but without items, is not taken for one of items."""
    with pytest.raises(FileError, match=r"no column is the item_id; .*--map item_id=COLUMN"):
        MappedRows([], header)


def test_options_decide_what_rows_are() -> None:
    """A table with a text becomes interactions or items by an option."""
    header, rows = ["user", "sku", "title", "rating"], [["u", "i", "Tea", "5"]]
    assert ["LIKE"] == MappedRows(rows, header, is_forced=True).types
    assert ["LIKE"] == map_with_columns(rows, header, user_id="user", item_id="sku").types
    (item,) = map_with_columns(rows, header, id="sku", text="title").values
    assert {"id": "i", "text": "Tea", "attributes": {"user": "u", "rating": 5}} == item


def test_a_table_with_the_columns_of_items_has_items() -> None:
    """A table with the columns id and text contains items, also with a user and a product."""
    header = ["id", "text", "user", "product", "rating"]
    (item,) = MappedRows([["i", "Tea", "u", "p", "5"]], header).values
    attributes = {"user": "u", "product": "p", "rating": 5}
    assert {"id": "i", "text": "Tea", "attributes": attributes} == item
    (interaction,) = MappedRows([["7", "u", "p", "5"]], ["id", "user", "product", "rating"]).types
    assert "LIKE" == interaction


def test_columns_can_be_chosen() -> None:
    """--map names the column of any field, in place of one that is found by its name."""
    header = ["kunde", "artikel", "aktion", "time", "am", "nr", "price", "score"]
    row = ["u", "i", "kauf", "noon", SECONDS, "7", "2.5", "9"]
    mapping = MappedRows(
        [row],
        header,
        columns={
            "user_id": "kunde",
            "item_id": "artikel",
            "type": "aktion",
            "time": "am",
            "interaction_id": "nr",
            "value": "price",
        },
        event_types={"kauf": "PURCHASE"},
    )
    assert [
        akin.interaction("u", "i", "PURCHASE", TIME, interaction_id="7", value=2.5)
    ] == mapping.values
    assert "ignored columns: time, score" == mapping.lines[-1]


@pytest.mark.parametrize(
    ("table", "options", "problem"),
    [
        ({"template": "{item}"}, {"default_type": "LIKE"}, "--template is for items"),
        ({"columns": {"id": "item"}}, {"is_forced": True}, "--map id is for items"),
        ({}, {"columns": {"user_id": "usr"}, "is_forced": True}, "there is no column usr"),
        (
            {},
            {"columns": {"price": "user"}, "is_forced": True},
            "an interaction has no field price",
        ),
    ],
)
def test_options_must_suit_interactions(
    table: dict[str, Any], options: dict[str, Any], problem: str
) -> None:
    """Options of items and columns that do not exist are errors before anything is stored."""
    with pytest.raises(FileError, match=problem):
        MappedRows([["u", "i"]], ["user", "item"], TableOptions(**table), **options)


def test_data_instead_of_a_header_is_recognized() -> None:
    """The error of a table whose first line is data names the option for tables without header."""
    with pytest.raises(FileError, match="if the first line is no header"):
        MappedRows([], ["196", "242", "3", "881250949"])
    with pytest.raises(FileError, match="if the first line is no header"):
        MappedRows([], ["196", "242", "3", "881250949"], is_forced=True)
