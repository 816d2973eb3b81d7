import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from service.cli.formats.rows import FileError, LineError, Records, Row
from service.cli.table_columns import SAMPLE_CHARACTERS, SAMPLE_ROWS, take_sample
from service.cli.table_mapping import TableMapping, TableOptions

HEADER = ["sku", "title", "description", "price", "tags"]
ROW = ["00123", "Shoe", "Light, for trails.", "9.99", "red|trail "]


def map_table(
    rows: Sequence[Sequence[str]], options: TableOptions, header: Sequence[str] = HEADER
) -> list[Any]:
    """Return the values of the rows of a CSV file, with errors as words."""
    numbered = (
        Row(number, dict(zip(header, row, strict=True))) for number, row in enumerate(rows, 2)
    )
    mapping = TableMapping(Records(numbered, header, is_text=True), options)
    return [str(value) if isinstance(value, LineError) else value for _, value in mapping.rows()]


def attributes(cells: Sequence[str], **options: Any) -> list[Any]:
    """Return the values of an attribute from the cells of its column, None where it is unset."""
    rows = map_table(
        [[str(number), "text", cell] for number, cell in enumerate(cells)],
        TableOptions(**options),
        ["id", "text", "a"],
    )
    return [row if isinstance(row, str) else row["attributes"].get("a") for row in rows]


def test_a_product_feed_becomes_items() -> None:
    """Columns become the id, the text and typed attributes, also lists; a code keeps its zeros."""
    options = TableOptions({"id": "sku", "name": "title"}, "{title}. {description}", {"tags": "|"})
    assert [
        {
            "id": "00123",
            "text": "Shoe. Light, for trails.",
            "attributes": {"name": "Shoe", "price": 9.99, "tags": ["red", "trail"]},
        }
    ] == map_table([ROW], options)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2.50", "", "1e-3", "1.5e+3"], [1, -2.5, None, 0.001, 1500.0]),
        (["1E5", "2E7"], ["1E5", "2E7"]),
        (["true", "FALSE"], [True, False]),
        (["00123", "12345"], ["00123", "12345"]),
        (["9007199254740993", "1"], ["9007199254740993", "1"]),
        (["9007199254740992"], [2**53]),
        (["1e400"], ["1e400"]),
        (["0.1234567890123456789"], ["0.1234567890123456789"]),
        (["9,99", "5"], ["9,99", "5"]),
        (["1984", "Dune"], ["1984", "Dune"]),
        (["nan", "inf"], ["nan", "inf"]),
        (["+5", "٣"], ["+5", "٣"]),
        (["1" * 5_000], ["1" * 5_000]),
    ],
    ids=itertools.count(),
)
def test_a_column_has_one_type(cells: list[str], values: list[Any]) -> None:
    """A column is numbers or booleans only if that changes no cell; otherwise it is text."""
    actual = attributes(cells)
    assert [(type(value), value) for value in values] == [(type(cell), cell) for cell in actual]


def test_a_later_cell_of_another_type_fails_its_row() -> None:
    """A cell that does not fit the type of the first rows is an error that names the way out."""
    cells = ["91234"] * SAMPLE_ROWS + ["01001", "7"]
    *_, failed, last = attributes(cells)
    assert 7 == last
    assert failed.startswith("a: not a number that can be stored exactly")
    assert "--as-text a" in failed
    assert ["01001", "7"] == attributes(cells, text_columns=frozenset("a"))[-2:]


def test_lists_have_typed_values() -> None:
    """The values of lists have one type too."""
    assert [[41, 42], [43]] == attributes(["41|42", "43"], separators={"a": "|"})
    assert [["041"], ["42"]] == attributes(["041", "42|"], separators={"a": "|"})


@pytest.mark.parametrize(
    ("header", "options", "problem"),
    [
        (["title", "text"], TableOptions(), "no column is named id"),
        (["id", "title"], TableOptions(), "no column is named text"),
        (["id", "text"], TableOptions({"price": "cost"}), "--map: there is no column cost"),
        (["id", "title"], TableOptions(template="{titel}"), "did you mean title"),
        (["id", "title"], TableOptions(template="title"), "--template must contain"),
        (["id", "t"], TableOptions({"text": "t"}, "{t}"), "exclude each other"),
        (["id", "text"], TableOptions(separators={"tags": "|"}), "--split: there is no column"),
        (["id", "text"], TableOptions(text_columns=frozenset(["zip"])), "--as-text: there is no"),
        (["id", "text", ""], TableOptions(), "a column has no name"),
        (["id", "text", "a", "b"], TableOptions({"a": "b"}), "there is a column a too"),
        (["user_id", "preferences"], TableOptions(), "import users as JSON lines"),
        (["user_id", "item_id"], TableOptions({"id": "item_id"}), "no column is named text"),
        (["7", "tea"], TableOptions(), "name the columns with --columns"),
    ],
)
def test_options_must_suit_the_header(
    header: list[str], options: TableOptions, problem: str
) -> None:
    """A column that is missing, unclear or not used is an error before any row is imported."""
    with pytest.raises(FileError, match=problem):
        map_table([], options, header)


def test_a_template_without_values_fails_its_row() -> None:
    """The punctuation of a template alone is no text; one value is enough."""
    options = TableOptions({"id": "sku"}, "{title}. {description}")
    empty, partial = map_table([["1", " ", "", "9", ""], ["2", "Shoe", "", "9", ""]], options)
    assert "text: the columns of the template are empty" == empty
    assert "Shoe." == partial["text"]


def test_a_mapped_id_and_text_make_rows_items() -> None:
    """A table with a user and a product, such as offers with their seller, can be mapped."""
    header = ["sku", "title", "user"]
    options = TableOptions({"id": "sku", "text": "title"})
    assert [{"id": "1", "text": "Shoe", "attributes": {"user": "ann"}}] == map_table(
        [["1", "Shoe", "ann"]], options, header
    )


def test_columns_without_a_name_can_be_dropped() -> None:
    """With --ignore-unknown, the column of row numbers that some programs write is dropped."""
    (item,) = map_table([["0", "a", "tea"]], TableOptions(ignore_unnamed=True), ["", "id", "text"])
    assert {"id": "a", "text": "tea", "attributes": {}} == item


def test_an_object_of_attributes_is_not_nested() -> None:
    """The field attributes of an object adds its values to those of the columns."""
    objects = [
        {"id": "a", "text": "tea", "attributes": {"color": "red"}, "price": 9},
        {"id": "b", "text": "tea", "attributes": {"price": 8}, "price": 9},
    ]
    rows = (Row(number, value) for number, value in enumerate(objects, 1))
    options = TableOptions({"id": "id"})
    first, second = (value for _, value in TableMapping(Records(rows), options).rows())
    assert {"id": "a", "text": "tea", "attributes": {"color": "red", "price": 9}} == first
    assert isinstance(second, LineError)
    assert "there is a column price too" in str(second)


def test_json_objects_are_mapped_like_rows() -> None:
    """Objects of JSON keep the types of their values; lists are joined in a text."""
    objects = [
        {"asin": 7, "title": "Shoe", "features": ["light", "dry"], "price": 9.5, "brand": None},
        {"asin": 8, "title": "Hat"},
    ]
    rows = (Row(number, value) for number, value in enumerate(objects, 1))
    options = TableOptions({"id": "asin"}, "{title}: {features}")
    assert [
        {"id": "7", "text": "Shoe: light, dry", "attributes": {"price": 9.5}},
        {"id": "8", "text": "Hat:", "attributes": {}},
    ] == [value for _, value in TableMapping(Records(rows), options).rows()]


VECTORS = [[0.6, -0.8], [1.0, 0.0]]


@pytest.mark.parametrize(("column", "cell"), [("vectors", VECTORS), ("own", str(VECTORS))])
def test_vectors_are_a_field_and_no_attribute(column: str, cell: Any) -> None:
    """Lists in JSON or Parquet and JSON in the cells of CSV are vectors; an empty cell has none."""
    header = ["id", "title", column]
    options = TableOptions({} if column == "vectors" else {"vectors": column}, "{title}")
    cells = [["a", "tea", cell], ["b", "sea", ""]]
    rows = (Row(number, dict(zip(header, row, strict=True))) for number, row in enumerate(cells, 2))
    mapping = TableMapping(Records(rows, header, is_text=isinstance(cell, str)), options)
    assert f"attributes: none; vectors from {column}" == mapping.describe()
    assert [
        {"id": "a", "text": "tea", "vectors": VECTORS, "attributes": {}},
        {"id": "b", "text": "sea", "attributes": {}},
    ] == [value for _, value in mapping.rows()]


def test_a_column_named_vectors_can_be_an_attribute() -> None:
    """With --as-text and --split it is an attribute; otherwise a cell must be JSON."""
    header, rows = ["id", "text", "vectors"], [["a", "tea", "mice, ticks"]]
    options = [
        TableOptions(text_columns=frozenset({"vectors"})),
        TableOptions(separators={"vectors": ","}),
    ]
    as_text, as_list = (map_table(rows, option, header)[0]["attributes"] for option in options)
    assert {"vectors": "mice, ticks"} == as_text
    assert {"vectors": ["mice", "ticks"]} == as_list
    (error,) = map_table(rows, TableOptions(), header)
    assert error.startswith("vectors: not JSON: ")


def test_the_sample_of_rows_with_many_vectors_is_short() -> None:
    """The rows that are read before the first is stored take bounded memory, with vectors too."""
    vectors = [[0.5] * 1_024] * 1_024
    rows = (Row(number, {"id": str(number), "vectors": vectors}) for number in range(SAMPLE_ROWS))
    assert SAMPLE_CHARACTERS // 1_024**2 == len(take_sample(rows))


def list_attributes(cells: Sequence[str]) -> list[Any]:
    """Return the attributes of items from the cells of the column `attributes`."""
    rows = [[str(number), "text", cell] for number, cell in enumerate(cells)]
    mapped = map_table(rows, TableOptions(), ["id", "text", "attributes"])
    return [row if isinstance(row, str) else row["attributes"] for row in mapped]


@pytest.mark.parametrize(
    ("cells", "results"),
    [
        (['{"a": [1, null]}', "", "{}"], [{"a": [1, None]}, {}, {}]),
        (['{"a": 1, "a": 2}'], ["attributes: a: occurs twice"]),
        (["text", "{}"], [{"attributes": "text"}, {"attributes": "{}"}]),
        (["", ""], [{}, {}]),
    ],
)
def test_a_column_can_hold_all_attributes(cells: list[str], results: list[Any]) -> None:
    """If the first cells of the column `attributes` are JSON objects, they are the attributes."""
    assert results == list_attributes(cells)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("text", "attributes: not JSON: Expecting value at character 1"),
        ("[1]", "attributes: must be a JSON object, as in the first rows"),
    ],
)
def test_a_later_cell_must_be_an_object_too(cell: str, error: str) -> None:
    """After objects in the first rows, a cell with something else fails its row."""
    assert [{}] * SAMPLE_ROWS + [error] == list_attributes(["{}"] * SAMPLE_ROWS + [cell])


def test_a_column_of_objects_excludes_a_column_of_one_of_them() -> None:
    """An attribute that is in the objects and in a column of its own fails its row."""
    rows = [["1", "text", '{"a": 1}', "2"]]
    (error,) = map_table(rows, TableOptions(), ["id", "text", "attributes", "a"])
    assert "attributes.a: there is a column a too" == error
