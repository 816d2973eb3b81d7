import io

import pytest

from service.cli.formats.delimited import read_delimited
from service.cli.formats.rows import LineError


def read(content: str) -> list[tuple[int, object]]:
    return [
        (number, str(value) if isinstance(value, LineError) else value)
        for number, value in read_delimited(io.BytesIO(content.encode()), ",").rows
    ]


def test_rows_are_numbered_by_their_first_line() -> None:
    """Cells can contain line ends, quotes and delimiters; blank lines are no rows."""
    rows = read('id,text\n1,"two\nlines, ""quoted"""\n\n2,b\n')
    assert [
        (2, {"id": "1", "text": 'two\nlines, "quoted"'}),
        (5, {"id": "2", "text": "b"}),
    ] == rows


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1", "1 cell, but the table has 2 columns"),
        ("1,2,3", "3 cells, but the table has 2 columns"),
        ('"1"x,2', "not a row"),
    ],
)
def test_a_bad_row_fails_alone(row: str, problem: str) -> None:
    """A row with too few or too many cells, or with wrong quotes, does not affect the next one."""
    (first, second) = read(f"id,text\n{row}\n2,b\n")
    assert (2, (3, {"id": "2", "text": "b"})) == (first[0], second)
    assert str(first[1]).startswith(problem)


def test_a_quote_that_does_not_end_is_reported() -> None:
    """An open quote is an error that names all lines that are lost."""
    ((number, problem),) = read('id,text\n1,"a\n2,b\n3,c\n')
    assert 2 == number
    assert "not a row: unexpected end of data; lines 2 to 4 are not imported" == problem


def test_a_quote_that_ends_in_a_later_row_is_reported() -> None:
    """A row that ends in another row by mistake is an error that names the lines of both."""
    first, second = read('id,text\n1,"a\n2,"b"\n3,c\n')
    assert "lines 2 to 3 are not imported" in str(first[1])
    assert (4, {"id": "3", "text": "c"}) == second


def test_a_table_can_have_no_header() -> None:
    """With names of columns, the first line is a row, and blank lines are none."""
    records = read_delimited(io.BytesIO(b"\n1\t2\n3\t4\n"), "\t", ["user", "item"])
    assert ["user", "item"] == records.columns
    assert [(2, {"user": "1", "item": "2"}), (3, {"user": "3", "item": "4"})] == list(records.rows)


def test_blank_lines_before_the_header_are_skipped() -> None:
    """The header is the first line that is not blank, and rows keep their line numbers."""
    assert [(4, {"id": "1", "text": "a"})] == read("\n\nid,text\n1,a\n")


def test_two_colons_separate_cells_as_they_are() -> None:
    """Between two colons, quotes, commas and single colons are a part of the cell."""
    content = b'1::"Cats": a, b::Musical\n2::Oliver!\n'
    first, second = read_delimited(io.BytesIO(content), "::", ["id", "title", "genre"]).rows
    assert {"id": "1", "title": '"Cats": a, b', "genre": "Musical"} == first.value
    assert "2 cells, but the table has 3 columns" == str(second.value)
