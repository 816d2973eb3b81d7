import json
from pathlib import Path
from typing import Any

import akin
import pytest
from akin.v1 import analysis_service_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli.main import app

FILTER = '{"all": [{"attribute": "price", "range": {"lt": 10}}]}'
CHEAP = akin.Filter(all=[akin.filters.between("price", lt=10)])
WHOLE = akin.Coverage(item_count=4000, examined_item_count=4000)
SAMPLE = akin.Coverage(item_count=9000, examined_item_count=1000, sampled=True)
SAMPLE_CAPTION = "from a random sample: 1,000 of 9,000 items examined"
COMMANDS = {
    "duplicates": (),
    "outliers": (),
    "clusters": (),
    "classify": ("--text", "sea", "--attribute", "genre"),
    "search": ("sea",),
}


def build_group(*item_ids: str, truncated: bool = False) -> akin.DuplicateGroup:
    items = [akin.DuplicateItem(item_id=item_id, similarity=0.5) for item_id in item_ids]
    return akin.DuplicateGroup(items=items, truncated=truncated)


def build_event(
    *groups: akin.DuplicateGroup, coverage: akin.Coverage = WHOLE
) -> akin.FindDuplicatesResponse:
    """Return an event with groups."""
    return akin.FindDuplicatesResponse(
        groups=akin.DuplicateGroups(groups=groups, coverage=coverage)
    )


def run(*words: str, **responses: list[Message]) -> tuple[Result, list[Message]]:
    """Return the result of a command and the requests that it sent."""
    with RecordingServer(responses) as server:
        result = CliRunner().invoke(app, [*words, "--address", server.address])
    return result, server.requests


def get_output(*words: str, **responses: list[Message]) -> str:
    result, _ = run(*words, **responses)
    assert 0 == result.exit_code, result.output
    return result.stdout


def read_cells(output: str) -> list[list[str]]:
    """Return the rows of a table without its header."""
    rows = (line for line in output.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in row.split("│")[1:-1]] for row in rows]


def join_lines(output: str) -> str:
    """Return titles and captions, which narrow tables wrap, in one line."""
    return " ".join(output.split())


def read_headers(output: str) -> list[str]:
    (row,) = (line for line in output.splitlines() if line.startswith("┃"))
    return [cell.strip() for cell in row.split("┃")[1:-1]]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_invalid_filter_is_a_usage_error(command: str) -> None:
    """An invalid filter ends each command with status 2 before any call."""
    words = (command, *COMMANDS[command], "--filter", "{", "--address", "127.0.0.1:1")
    result = CliRunner().invoke(app, words)
    assert (2, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("akin: --filter: ")


@pytest.mark.parametrize("words", [("search",), ("classify", "--text", "sea")])
def test_required_arguments(words: tuple[str, ...]) -> None:
    """A search without a text and a classification without an attribute are usage errors."""
    assert 2 == CliRunner().invoke(app, words).exit_code


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("duplicates", "--item", "a", "--min-similarity", "0.5"),
            pb.FindDuplicatesRequest(item_id="a", min_similarity=0.5, filter=CHEAP),
        ),
        (
            ("outliers", "--limit", "3"),
            pb.FindOutliersRequest(limit=3, view=akin.ItemView.ITEM_VIEW_FULL, filter=CHEAP),
        ),
        (
            ("clusters", "--count", "4", "--representatives", "2"),
            pb.ClusterItemsRequest(cluster_count=4, representative_limit=2, filter=CHEAP),
        ),
        (
            ("classify", *COMMANDS["classify"], "--neighbors", "7", "--exclude", "a"),
            pb.ClassifyTextRequest(
                text="sea",
                attribute="genre",
                neighbor_count=7,
                exclude_item_ids=["a"],
                filter=CHEAP,
            ),
        ),
        (
            ("search", "sea", "--limit", "3", "--min-score", "0.5", "--per-item", "1"),
            pb.SearchPassagesRequest(
                text="sea", limit=3, min_score=0.5, limit_per_item=1, filter=CHEAP
            ),
        ),
    ],
)
def test_options_reach_the_server(words: tuple[str, ...], expected: Message) -> None:
    """Each option is sent to the server; options that are not given are not."""
    assert [expected] == run(*words, "--filter", FILTER)[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_result_is_printed(command: str) -> None:
    """An empty result is no error, and in JSON it is an empty list."""
    words = (command, *COMMANDS[command])
    assert "" != get_output(*words)
    assert [] in json.loads(get_output(*words, "--json")).values()


def test_duplicates_are_one_document() -> None:
    """The groups of all events and the last coverage are one JSON document."""
    progress = akin.DuplicatesProgress(
        coverage=akin.Coverage(item_count=4000, examined_item_count=1)
    )
    events: list[Message] = [
        akin.FindDuplicatesResponse(progress=progress),
        build_event(build_group("a", "b", "c")),
        build_event(build_group("d", "e")),
    ]
    document = json.loads(get_output("duplicates", "--json", FindDuplicates=events))
    ids = [[item["item_id"] for item in group["items"]] for group in document["groups"]]
    assert [["a", "b", "c"], ["d", "e"]] == ids
    assert "4000" == document["coverage"]["examined_item_count"]
    assert not document["coverage"]["sampled"]


def test_duplicates_table() -> None:
    """A group has its number once, its first item no similarity, and omitted items are counted."""
    event = build_event(build_group(*"abcdefg"), build_group("x", "y"))
    output = get_output("duplicates", FindDuplicates=[event])
    assert "2 groups of near-duplicates among 4,000 items" in join_lines(output)
    assert ["group", "similarity", "item", "text"] == read_headers(output)
    rows = read_cells(output)
    assert ["1", "", "a"] == rows[0][:3]
    assert ["", "0.500", "b"] == rows[1][:3]
    assert ["", "", "and 2 more", ""] == rows[5]
    assert ["2", "", "x"] == rows[6][:3]
    assert output.rstrip().endswith("--json prints all items")


def test_truncated_groups_are_marked() -> None:
    """Below a truncated group a row says so, and JSON has the flag; other groups have neither."""
    event = build_event(build_group("a", "b", truncated=True), build_group("x", "y"))
    rows = read_cells(get_output("duplicates", FindDuplicates=[event]))
    assert ["a", "b", "truncated", "x", "y"] == [row[2] for row in rows]
    document = json.loads(get_output("duplicates", "--json", FindDuplicates=[event]))
    assert [True, False] == [group["truncated"] for group in document["groups"]]


def test_no_duplicates_in_a_sample() -> None:
    """Without near-duplicates in a sample, the command prints that it was a sample."""
    expected = f"no near-duplicates among 9,000 items; {SAMPLE_CAPTION}\n"
    event = build_event(coverage=SAMPLE)
    assert expected == get_output("duplicates", FindDuplicates=[event])


@pytest.mark.parametrize("coverage", [SAMPLE, WHOLE])
@pytest.mark.parametrize("command", ["duplicates", "outliers", "clusters"])
def test_captions_report_a_sample(command: str, coverage: akin.Coverage) -> None:
    """A caption says that a table is from a sample; a table of all items has no such caption."""
    responses: dict[str, Any] = {
        "FindDuplicates": [build_event(build_group("a", "b"), coverage=coverage)],
        "FindOutliers": [akin.FindOutliersResponse(coverage=coverage)],
        "ClusterItems": [akin.ClusterItemsResponse(coverage=coverage)],
    }
    output = get_output(command, **responses)
    assert coverage.sampled == (SAMPLE_CAPTION in join_lines(output))


def test_outliers_table() -> None:
    """A row has the mean similarity, the item, its text and its nearest item."""
    outlier = akin.Outlier(
        item_id="a:cat:",
        mean_similarity=0.25,
        nearest_item_id="b",
        item=akin.Item(text="[b]An invoice"),
    )
    response = akin.FindOutliersResponse(outliers=[outlier])
    output = get_output("outliers", FindOutliers=[response])
    assert ["mean similarity", "item", "text", "nearest item"] == read_headers(output)
    assert [["0.250", "a:cat:", "[b]An invoice", "b"]] == read_cells(output)


def test_clusters_table() -> None:
    """A row has the number of items, the keywords, and a line for each representative item."""
    cluster = akin.Cluster(
        item_count=1200,
        keywords=["sea", "ship", "storm"],
        representatives=[akin.ClusterItem(item_id=item_id, similarity=0.5) for item_id in "ab"],
        cohesion=0.75,
    )
    response = akin.ClusterItemsResponse(clusters=[cluster], coverage=WHOLE)
    output = get_output("clusters", ClusterItems=[response])
    assert output.startswith("1 cluster of 4,000 items")
    first, second = read_cells(output)
    assert ["1,200", "0.750", "sea, ship, storm"] == first[:3]
    assert ["", "", ""] == second[:3]


def test_json_has_cluster_zero() -> None:
    """In JSON the index of the first cluster is printed, although it is zero."""
    point = akin.ClusterPoint(item_id="a", x=0.5)
    response = akin.ClusterItemsResponse(points=[point])
    document = json.loads(get_output("clusters", "--json", ClusterItems=[response]))
    assert [{"item_id": "a", "cluster_index": 0, "x": 0.5, "y": 0.0}] == document["points"]


def test_a_plot_needs_a_folder(tmp_path: Path) -> None:
    """A plot in a folder that does not exist is a usage error, before any call."""
    file = tmp_path / "none" / "map.png"
    result = CliRunner().invoke(app, ["clusters", "--plot", str(file), "--address", "127.0.0.1:1"])
    assert (2, "") == (result.exit_code, result.stdout)
    assert f"akin: --plot: cannot write the file {file}\n" == result.stderr


def test_labels_of_any_type() -> None:
    """Labels are printed as strings, numbers and booleans, and the nearest items below them."""
    values = (
        Value(string_value="Crime"),
        Value(number_value=1990),
        Value(number_value=0.5),
        Value(bool_value=True),
    )
    response = akin.ClassifyTextResponse(
        labels=[akin.Label(value=value, probability=0.25) for value in values],
        neighbors=[akin.Neighbor(item_id=str(number), similarity=0.5) for number in range(7)],
    )
    output = get_output("classify", *COMMANDS["classify"], ClassifyText=[response])
    rows = read_cells(output)
    expected = [["0.250", label] for label in ("Crime", "1990", "0.5", "true")]
    assert expected == rows[:4]
    assert [str(number) for number in range(5)] == [row[1] for row in rows[4:]]
    assert "predicted from the nearest 7 items" in join_lines(output)


def test_no_item_with_the_attribute() -> None:
    """If no item has the attribute, the command says so."""
    output = get_output("classify", *COMMANDS["classify"])
    assert "no item has the attribute genre" in join_lines(output)


def test_passages_are_wrapped() -> None:
    """A passage is indented below its score and position, in lines of readable length."""
    text = "[b]All " + "the words of a long passage " * 10
    passage = akin.Passage(item_id="a:cat:", text=text, start_offset=5, end_offset=1290, score=0.5)
    response = akin.SearchPassagesResponse(passages=[passage])
    output = get_output("search", "sea", SearchPassages=[response])
    first, *lines = output.rstrip().splitlines()
    assert "0.500  a:cat:  bytes 5 to 1,290" == first.rstrip()
    assert text.split() == " ".join(lines).split()
    assert all(line.startswith("  ") and len(line) <= 100 for line in lines)
