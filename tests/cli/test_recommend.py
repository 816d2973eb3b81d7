import akin
import pytest
from akin.v1 import recommender_service_pb2 as pb
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli import console
from service.cli.main import app
from service.cli.recommendation_output import build_recommendation_table

FILTER = """{
    "all": [{"attribute": "price", "range": {"lt": 10}}],
    "none": [{"attribute": "used", "exists": true}]
}"""
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
    explanations=[
        akin.Explanation(item_id="book:the-martian", similarity=0.614),
        akin.Explanation(text="sailing ships", similarity=0.4),
        akin.Explanation(item_id="book:third", similarity=0.3),
    ],
)
EMMA = akin.Recommendation(item_id="book:emma", score=0.5, item=akin.Item(text="A matchmaker"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recommend", *arguments])


def send(*arguments: str) -> pb.RecommendSimilarRequest:
    with RecordingServer() as server:
        result = run(*arguments, "--address", server.address)
    assert 0 == result.exit_code, result.output
    (request,) = server.requests
    assert isinstance(request, pb.RecommendSimilarRequest)
    return request


def build_rows(*recommendations: akin.Recommendation) -> list[list[str]]:
    table = build_recommendation_table("title", recommendations)
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("text", BAD_FILTERS)
def test_an_invalid_filter_is_a_usage_error(text: str) -> None:
    """An invalid filter ends the command with status 2 and one line, before any call."""
    result = run("--text", "sea", "--filter", text, "--address", "127.0.0.1:1")
    assert (2, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("akin: --filter: ")


@pytest.mark.parametrize(
    "sources",
    [
        [],
        ["--item", "1", "--like", "2"],
        ["--text", "x", "--dislike", "2"],
        ["--popular", "--user", "u"],
        ["--user", "u", "--relation", "both"],
    ],
)
def test_one_source_is_required(sources: list[str]) -> None:
    """No source, two sources, and a relation without an item are usage errors."""
    result = run(*sources, "--address", "127.0.0.1:1")
    assert (2, "") == (result.exit_code, result.stdout)
    assert 1 == len(result.stderr.splitlines())


def test_likes_and_dislikes_are_examples() -> None:
    """Liked and disliked items are sent together, in order, as examples."""
    request = send("--like", "a", "--dislike", "b", "--like", "c")
    assert akin.examples(["a", "c"], ["b"]) == request.examples
    assert akin.examples(negative=["b"]) == send("--dislike", "b").examples


def test_options_reach_the_server() -> None:
    """Each option is sent to the server; options that are not given are not."""
    request = send(
        *("--text", "sea", "--filter", FILTER, "--diversity", "0.25"),
        *("--max-similarity", "0.5", "--explain"),
    )
    cheap, used = akin.filters.between("price", lt=10), akin.filters.exists("used")
    assert akin.Filter(all=[cheap], none=[used]) == request.filter
    assert (0.25, 0.5, True) == (request.diversity, request.max_similarity, request.explain)
    default = pb.RecommendSimilarRequest(text="sea", limit=10, view=akin.ItemView.ITEM_VIEW_FULL)
    assert default == send("--text", "sea")


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["--like", "Book:A", "--like", "b"], "Similar to Book:A, b"),
        (["--like", "a", "--dislike", "b"], "Similar to a, unlike b"),
        (["--dislike", "b"], "Unlike b"),
        (["--text", "The Sea [/x]"], "Similar to The Sea [/x]"),
        (["--user", "Ann"], "For Ann"),
        (["--popular"], "Popular"),
        (["--item", "{a}"], "Similar to {a}"),
        (["--item", "a", "--relation", "also-liked"], "Liked with a"),
        (["--item", "a", "--relation", "both"], "Related to a"),
    ],
)
def test_title_names_the_source(arguments: list[str], title: str) -> None:
    """The title of the table names the source as it was given."""
    with RecordingServer() as server:
        result = run(*arguments, "--address", server.address)
    assert title == result.stdout.splitlines()[0].strip()


def test_explanations_have_a_column() -> None:
    """A column has the two strongest explanations of an item, and is empty for an item without."""
    header, dune, emma = build_rows(DUNE, EMMA)
    assert ["score", "item", "text", "explanation"] == header
    assert 'book:the-martian 0.61; "sailing ships" 0.40' == dune[-1]
    assert ["0.500", "book:emma", "A matchmaker", ""] == emma


def test_behavior_is_an_explanation() -> None:
    """An item that other people like is explained by the item that these people also like."""
    behavior = akin.Explanation(item_id="book:dune", signal=akin.Signal.SIGNAL_BEHAVIOR)
    _, row = build_rows(akin.Recommendation(item_id="1", explanations=[behavior]))
    assert "liked by people who like book:dune" == row[-1]


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        ("similar", akin.Relation.RELATION_SIMILAR),
        ("also-liked", akin.Relation.RELATION_ALSO_LIKED),
        ("both", akin.Relation.RELATION_BOTH),
    ],
)
def test_relations_have_names(name: str, relation: akin.Relation.ValueType) -> None:
    """Each name of a relation is sent as its value."""
    assert relation == send("--item", "a", "--relation", name).relation


def test_popular_items_are_a_source() -> None:
    """The source is popular items, with the default half-life."""
    request = send("--popular")
    assert ("popular", False) == (
        request.WhichOneof("source"),
        request.popular.HasField("half_life_days"),
    )


def test_without_explanations_there_is_no_column() -> None:
    """Without explanations the table has no column for them."""
    header, emma = build_rows(EMMA)
    assert ["score", "item", "text"] == header
    assert ["0.500", "book:emma", "A matchmaker"] == emma
    assert [["score", "item", "text"]] == build_rows()


def test_a_long_explanation_is_shortened() -> None:
    """The column has the first words of a long text."""
    explanation = akin.Explanation(text="long voyages " * 10, similarity=-0.125)
    _, row = build_rows(akin.Recommendation(item_id="1", explanations=[explanation]))
    assert '"long voyages long voyages ..." -0.12' == row[-1]


def test_brackets_and_colons_are_shown() -> None:
    """Ids, texts and titles that look like markup or emoji are printed as they are."""
    item = akin.Item(text="[/b] a [red]fox")
    recommendation = akin.Recommendation(item_id="a:cat:b", item=item)
    with console.out.capture() as capture:
        console.out.print(build_recommendation_table("[i]odd[/u]", [recommendation]))
    for expected in ("a:cat:b", "[/b] a [red]fox", "[i]odd[/u]"):
        assert expected in capture.get()


def test_ignored_examples_are_named() -> None:
    """A sentence names the examples that count for nothing, and says why."""
    response = pb.RecommendSimilarResponse(missing_item_ids=["gone", "new"])
    with RecordingServer({"RecommendSimilar": [response]}) as server:
        result = run("--like", "gone", "--like", "new", "--address", server.address)
    assert (
        "these items are ignored because they do not exist or have no vector yet: gone, new"
        in result.stderr.splitlines()
    )
