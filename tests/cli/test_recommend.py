import akin
import pytest
from akin.v1 import recommender_service_pb2 as pb
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli import console
from service.cli.main import app

FILTER = '{"all": [{"attribute": "price", "range": {"lt": 10}}], "none": [{"attribute": "used"}]}'
BAD_FILTERS = [
    "",
    "null",
    "3",
    "{",
    '"sea"',
    '{"every": []}',
    '{"all": {}}',
    '{"all": [3]}',
    '{"all": [{"attribute": "a", "equals": 1, "exists": true}]}',
    '{"all": [{"attribute": "a", "range": {"gt": "many"}}]}',
]

DUNE = akin.Recommendation(
    item_id="book:dune",
    score=0.71,
    item=akin.Item(text="A desert planet"),
    reasons=[
        akin.Reason(item_id="book:the-martian", similarity=0.614),
        akin.Reason(preference_text="sailing ships", similarity=0.4),
        akin.Reason(item_id="book:third", similarity=0.3),
    ],
)
EMMA = akin.Recommendation(item_id="book:emma", score=0.5, item=akin.Item(text="A matchmaker"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recommend", *arguments])


def asked(*arguments: str) -> pb.RecommendSimilarRequest:
    with RecordingServer() as server:
        result = run(*arguments, "--address", server.address)
    assert 0 == result.exit_code, result.output
    (question,) = server.requests
    assert isinstance(question, pb.RecommendSimilarRequest)
    return question


def rows(*recommendations: akin.Recommendation) -> list[list[str]]:
    table = console.recommendations_table("title", recommendations)
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("text", BAD_FILTERS)
def test_bad_filter_is_misuse(text: str) -> None:
    """A filter that is none is told in one line, with exit code 2, before a server is asked."""
    result = run("--text", "sea", "--filter", text, "--address", "127.0.0.1:1")
    assert (2, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("akin: --filter: ")


@pytest.mark.parametrize(
    "sources", [[], ["--item", "1", "--like", "2"], ["--text", "x", "--dislike", "2"]]
)
def test_one_source_is_needed(sources: list[str]) -> None:
    """No source, and likes beside another source, are misuse."""
    result = run(*sources, "--address", "127.0.0.1:1")
    assert (2, "") == (result.exit_code, result.stdout)
    assert 1 == len(result.stderr.splitlines())


def test_likes_and_dislikes_are_examples() -> None:
    """Items liked and disliked go out together, in order, as examples."""
    question = asked("--like", "a", "--dislike", "b", "--like", "c")
    assert akin.examples(["a", "c"], ["b"]) == question.examples
    assert akin.examples(negative=["b"]) == asked("--dislike", "b").examples


def test_options_reach_the_server() -> None:
    """Each option is told to the server, and none that is not given."""
    question = asked(
        *("--text", "sea", "--filter", FILTER, "--diversity", "0.25"),
        *("--max-similarity", "0.5", "--explain"),
    )
    cheap = akin.filters.between("price", lt=10)
    assert akin.Filter(all=[cheap], none=[akin.Condition(attribute="used")]) == question.filter
    assert (0.25, 0.5, True) == (question.diversity, question.max_similarity, question.explain)
    plain = pb.RecommendSimilarRequest(text="sea", limit=10, view=pb.ITEM_VIEW_FULL)
    assert plain == asked("--text", "sea")


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["--like", "Book:A", "--like", "b"], "Similar to Book:A, b"),
        (["--like", "a", "--dislike", "b"], "Similar to a, unlike b"),
        (["--dislike", "b"], "Unlike b"),
        (["--text", "The Sea [/x]"], "Similar to The Sea [/x]"),
        (["--user", "Ann"], "For Ann"),
    ],
)
def test_title_names_the_source(arguments: list[str], title: str) -> None:
    """The table's title names what the recommendations are for, as it was given."""
    with RecordingServer() as server:
        result = run(*arguments, "--address", server.address)
    assert title == result.stdout.splitlines()[0].strip()


def test_reasons_have_a_column() -> None:
    """Where there are reasons a column tells the two strongest; an item without has none."""
    header, dune, emma = rows(DUNE, EMMA)
    assert ["score", "item", "what it is", "because"] == header
    assert 'book:the-martian 0.61; "sailing ships" 0.40' == dune[-1]
    assert ["0.500", "book:emma", "A matchmaker", ""] == emma


def test_without_reasons_there_is_no_column() -> None:
    """Where no recommendation has reasons the table does not speak of them."""
    header, emma = rows(EMMA)
    assert ["score", "item", "what it is"] == header
    assert ["0.500", "book:emma", "A matchmaker"] == emma
    assert [["score", "item", "what it is"]] == rows()


def test_long_reason_is_cut() -> None:
    """Of a long text the column has the first words."""
    reason = akin.Reason(preference_text="long voyages " * 10, similarity=-0.125)
    _, row = rows(akin.Recommendation(item_id="1", reasons=[reason]))
    assert '"long voyages long voyages ..." -0.12' == row[-1]


def test_brackets_and_colons_are_shown() -> None:
    """Ids, texts and titles that look like markup or emoji are shown as they are."""
    item = akin.Item(text="[/b] a [red]fox")
    found = akin.Recommendation(item_id="a:cat:b", item=item)
    with console.out.capture() as capture:
        console.out.print(console.recommendations_table("[i]odd[/u]", [found]))
    for expected in ("a:cat:b", "[/b] a [red]fox", "[i]odd[/u]"):
        assert expected in capture.get()
