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
WHOLE = akin.Extent(item_count=4000, examined_count=4000)
SAMPLE = akin.Extent(item_count=9000, examined_count=1000, sampled=True)
COMMANDS = {
    "duplicates": (),
    "outliers": (),
    "clusters": (),
    "classify": ("--text", "sea", "--attribute", "genre"),
    "search": ("sea",),
}


def group(*item_ids: str) -> akin.DuplicateGroup:
    items = [akin.DuplicateItem(item_id=each, similarity=0.5) for each in item_ids]
    return akin.DuplicateGroup(items=items)


def run(*words: str, **answers: list[Message]) -> tuple[Result, list[Message]]:
    """What a command prints, and the questions that it asked."""
    with RecordingServer(answers) as server:
        done = CliRunner().invoke(app, [*words, "--address", server.address])
    return done, server.requests


def shown(*words: str, **answers: list[Message]) -> str:
    done, _ = run(*words, **answers)
    assert 0 == done.exit_code, done.output
    return done.stdout


def cells(output: str) -> list[list[str]]:
    """The rows of a table without its header."""
    rows = (line for line in output.splitlines() if line.startswith("│"))
    return [[each.strip() for each in row.split("│")[1:-1]] for row in rows]


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_filter_is_misuse(command: str) -> None:
    """A filter that is none ends each command with exit code 2 before a server is asked."""
    words = (command, *COMMANDS[command], "--filter", "{", "--address", "127.0.0.1:1")
    done = CliRunner().invoke(app, words)
    assert (2, "") == (done.exit_code, done.stdout)
    (line,) = done.stderr.splitlines()
    assert line.startswith("akin: --filter: ")


@pytest.mark.parametrize("words", [("search",), ("classify", "--text", "sea")])
def test_what_is_needed_is_asked_for(words: tuple[str, ...]) -> None:
    """A search without a text, and labels without an attribute, are misuse."""
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
                text="sea", limit=3, min_score=0.5, passages_per_item=1, filter=CHEAP
            ),
        ),
    ],
)
def test_options_reach_the_server(words: tuple[str, ...], expected: Message) -> None:
    """Each option is told to the server, and nothing that is not given."""
    assert [expected] == run(*words, "--filter", FILTER)[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_found(command: str) -> None:
    """An empty answer is none to stumble over, and JSON tells that it is empty."""
    words = (command, *COMMANDS[command])
    assert "" != shown(*words)
    told = json.loads(shown(*words, "--json"))
    assert [] in told.values()


def test_duplicates_are_one_document() -> None:
    """The groups of all replies and the last extent are one JSON document."""
    replies: list[Message] = [
        akin.FindDuplicatesResponse(extent=akin.Extent(item_count=4000, examined_count=1)),
        akin.FindDuplicatesResponse(groups=[group("a", "b", "c")], extent=WHOLE),
        akin.FindDuplicatesResponse(groups=[group("d", "e")], extent=WHOLE),
    ]
    told = json.loads(shown("duplicates", "--json", FindDuplicates=replies))
    ids = [[each["item_id"] for each in one["items"]] for one in told["groups"]]
    assert [["a", "b", "c"], ["d", "e"]] == ids
    assert "4000" == told["extent"]["examined_count"]
    assert not told["extent"]["sampled"]


def test_duplicates_table() -> None:
    """A group has its number once, its first item no similarity, and what is left out is told."""
    groups = [group(*"abcdefg"), group("x", "y")]
    reply = akin.FindDuplicatesResponse(groups=groups, extent=WHOLE)
    output = shown("duplicates", FindDuplicates=[reply])
    assert output.startswith("2 groups of duplicates among 4,000 items")
    rows = cells(output)
    assert ["1", "", "a"] == rows[0][:3]
    assert ["", "0.500", "b"] == rows[1][:3]
    assert ["", "", "and 2 more", ""] == rows[5]
    assert ["2", "", "x"] == rows[6][:3]
    assert output.rstrip().endswith("--json tells all items")


def test_no_duplicates_of_a_sample() -> None:
    """Where nothing was found in a sample, it is told that it was one."""
    reply = akin.FindDuplicatesResponse(extent=SAMPLE)
    expected = "no duplicates among 9,000 items; of a sample: 1,000 of 9,000 items were looked at\n"
    assert expected == shown("duplicates", FindDuplicates=[reply])


@pytest.mark.parametrize(
    ("command", "method", "reply"),
    [
        ("duplicates", "FindDuplicates", akin.FindDuplicatesResponse(groups=[group("a", "b")])),
        ("outliers", "FindOutliers", akin.FindOutliersResponse()),
        ("clusters", "ClusterItems", akin.ClusterItemsResponse()),
    ],
)
def test_captions_tell_of_a_sample(command: str, method: str, reply: Any) -> None:
    """A table that was made from a sample says so below, another one does not."""
    remark = "of a sample: 1,000 of 9,000 items were looked at"
    for extent, expected in ((SAMPLE, True), (WHOLE, False)):
        reply.extent.CopyFrom(extent)
        words = shown(command, **{method: [reply]}).split()
        assert expected == (remark in " ".join(words))


def test_outliers_table() -> None:
    """A row tells the score, the item, its text, and what is nearest."""
    odd = akin.Outlier(
        item_id="a:cat:", score=0.25, nearest_item_id="b", item=akin.Item(text="[b]An invoice")
    )
    output = shown("outliers", FindOutliers=[akin.FindOutliersResponse(outliers=[odd])])
    assert [["0.250", "a:cat:", "[b]An invoice", "b"]] == cells(output)


def test_clusters_table() -> None:
    """A row tells how many items there are, the words, and a line for each representative."""
    middle = [akin.ClusterItem(item_id=each, similarity=0.5) for each in ("a", "b")]
    words = ["sea", "ship", "storm"]
    one = akin.Cluster(item_count=1200, words=words, representatives=middle, cohesion=0.75)
    reply = akin.ClusterItemsResponse(clusters=[one], extent=WHOLE)
    output = shown("clusters", ClusterItems=[reply])
    assert output.startswith("1 group among 4,000 items")
    first, second = cells(output)
    assert ["1,200", "0.750", "sea, ship, storm"] == first[:3]
    assert ["", "", ""] == second[:3]


def test_group_zero_is_told() -> None:
    """In JSON the first group has its number too, which is zero."""
    point = akin.ClusterPoint(item_id="a", x=0.5)
    told = json.loads(
        shown("clusters", "--json", ClusterItems=[akin.ClusterItemsResponse(points=[point])])
    )
    assert [{"item_id": "a", "cluster": 0, "x": 0.5, "y": 0.0}] == told["points"]


def test_picture_needs_a_folder(tmp_path: Path) -> None:
    """A map in a folder that is not there is misuse, before a server is asked."""
    picture = tmp_path / "none" / "map.png"
    done = CliRunner().invoke(app, ["clusters", "--plot", str(picture), "--address", "127.0.0.1:1"])
    assert (2, "") == (done.exit_code, done.stdout)
    assert f"akin: --plot: no file can be written at {picture}\n" == done.stderr


def test_labels_of_any_kind() -> None:
    """Labels may be strings, numbers and booleans; voters stand below."""
    values = (
        Value(string_value="Crime"),
        Value(number_value=1990),
        Value(number_value=0.5),
        Value(bool_value=True),
    )
    reply = akin.ClassifyTextResponse(
        labels=[akin.Label(value=each, probability=0.25) for each in values],
        voters=[akin.Voter(item_id=str(each), similarity=0.5) for each in range(7)],
    )
    output = shown("classify", *COMMANDS["classify"], ClassifyText=[reply])
    rows = cells(output)
    expected = [["0.250", each] for each in ("Crime", "1990", "0.5", "true")]
    assert expected == rows[:4]
    assert [str(each) for each in range(5)] == [row[1] for row in rows[4:]]
    assert "7 items voted" in output


def test_no_voters() -> None:
    """Where no item has the attribute, that is said."""
    words = shown("classify", *COMMANDS["classify"]).split()
    assert "no item with genre was found" in " ".join(words)


def test_passages_are_wrapped() -> None:
    """A passage stands below its score and place, indented, in lines that can be read."""
    text = "[b]All " + "the words of a long passage " * 10
    found = akin.Passage(item_id="a:cat:", text=text, start_offset=5, end_offset=1290, score=0.5)
    output = shown("search", "sea", SearchPassages=[akin.SearchPassagesResponse(passages=[found])])
    first, *lines = output.rstrip().splitlines()
    assert "0.500  a:cat:  bytes 5 to 1,290" == first.rstrip()
    assert text.split() == " ".join(lines).split()
    assert all(line.startswith("  ") and len(line) <= 100 for line in lines)
