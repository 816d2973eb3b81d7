import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import catalog_service_pb2 as catalog_pb
from akin.v1 import interaction_service_pb2 as interaction_pb
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.message import Message
from support.recording import RecordingServer
from support.scripted import Failure
from typer.testing import CliRunner, Result

from service.cli.import_stream import MAX_WAITING_RESOURCES
from service.cli.main import app

INVALID_ARGUMENT = 3
ITEMS_STORED: list[Message] = [
    pb.ImportItemsResponse(
        results=[
            akin.ItemResult(sequence=1),
            akin.ItemResult(
                code=INVALID_ARGUMENT,
                reason="INVALID_REQUEST",
                message="item.text must not be blank",
            ),
        ],
        usage=akin.EmbeddingUsage(
            text_count=2, prompt_token_count=10, cost_usd=0.5, embedded_text_count=1
        ),
    )
]
USERS_STORED: list[Message] = [
    pb.ImportUsersResponse(
        results=[
            akin.UserResult(
                code=INVALID_ARGUMENT, reason="INVALID_REQUEST", message="user.user_id is too long"
            ),
            akin.UserResult(sequence=2),
        ],
        usage=akin.EmbeddingUsage(
            text_count=3,
            cached_text_count=1,
            prompt_token_count=5,
            cost_usd=0.25,
            embedded_text_count=2,
        ),
    )
]
INTERACTIONS_RECORDED: list[Message] = [
    interaction_pb.ImportInteractionsResponse(
        recorded_count=1,
        duplicate_count=1,
        failures=[
            akin.InteractionFailure(
                position=1,
                code=INVALID_ARGUMENT,
                reason="INVALID_REQUEST",
                message="interaction.item_id is too long",
            )
        ],
    )
]
RESPONSES = {
    "ImportItems": ITEMS_STORED,
    "ImportUsers": USERS_STORED,
    "ImportInteractions": INTERACTIONS_RECORDED,
}
LINES = [
    {"user_id": "ann", "preferences": [{"text": "sea"}, {"text": "ghosts", "weight": -1}]},
    {"id": "a", "text": "green tea"},
    {"id": 7},
    {"user_id": "bob", "liked": ["a", "b"]},
    {"id": "b", "text": " "},
]
USERS = [
    akin.User(
        user_id="ann",
        preferences=[
            akin.Preference(text="sea", weight=1),
            akin.Preference(text="ghosts", weight=-1),
        ],
    ),
    akin.User(
        user_id="bob",
        liked_items=[akin.LikedItem(item_id=item_id, weight=1) for item_id in ("a", "b")],
    ),
]


def run(server: RecordingServer, lines: list[Any], *words: str) -> Result:
    """Return the result of `akin import` with these lines as standard input."""
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    words = ("import", "-", *words, "--address", server.address)
    return CliRunner().invoke(app, words, input=text)


def run_file(server: RecordingServer, file: Path) -> Result:
    return CliRunner().invoke(app, ["import", str(file), "--address", server.address])


def get_requests(server: RecordingServer, kind: type[Message]) -> list[Message]:
    return [request for request in server.requests if isinstance(request, kind)]


def test_items_and_users_have_a_stream_each() -> None:
    """Items are sent in the order of their lines, and so are users."""
    with RecordingServer(RESPONSES) as server:
        run(server, LINES)
    items = [akin.item("a", "green tea"), akin.item("b", " ")]
    assert [pb.ImportItemsRequest(items=items)] == get_requests(server, pb.ImportItemsRequest)
    assert [pb.ImportUsersRequest(users=USERS)] == get_requests(server, pb.ImportUsersRequest)


def test_failures_have_line_numbers() -> None:
    """Lines that the command or the server rejects are reported in order; the status is 1."""
    with RecordingServer(RESPONSES) as server:
        result = run(server, LINES)
    assert 1 == result.exit_code
    first, second, third = result.stderr.splitlines()
    assert "line 1: INVALID_REQUEST: user.user_id is too long" == first
    assert second.startswith("line 3: INVALID_LINE: id: ")
    assert "line 5: INVALID_REQUEST: item.text must not be blank" == third
    assert "1 item and 1 user stored in " in result.stdout
    assert "; 3 lines failed\n" in result.stdout


def test_json_has_the_usage_of_both_streams() -> None:
    """JSON adds up the usage of items and users, and has the failures with their reasons."""
    with RecordingServer(RESPONSES) as server:
        summary = json.loads(run(server, LINES, "--json").stdout)
    assert (3, 1, 15, 0.75) == tuple(
        summary[name] for name in ("embedded_texts", "reused_texts", "prompt_tokens", "cost_usd")
    )
    assert [(1, "INVALID_REQUEST"), (3, "INVALID_LINE"), (5, "INVALID_REQUEST")] == [
        (failure["line"], failure["reason"]) for failure in summary["failures"]
    ]


def test_a_dry_run_only_validates() -> None:
    """In a dry run both streams only validate, and the estimate is printed."""
    with RecordingServer(RESPONSES) as server:
        result = run(server, LINES, "--dry-run")
    (items,) = get_requests(server, pb.ImportItemsRequest)
    (users,) = get_requests(server, pb.ImportUsersRequest)
    assert isinstance(items, pb.ImportItemsRequest)
    assert isinstance(users, pb.ImportUsersRequest)
    assert (True, True) == (items.validate_only, users.validate_only)
    assert "1 item and 1 user are valid; 3 lines failed\n" in result.stdout
    assert "4 texts to embed: about 15 tokens, 0.7500 US dollars" in result.stdout


def test_nothing_is_sent_without_valid_lines() -> None:
    """Blank and invalid lines cause no call."""
    with RecordingServer() as server:
        result = run(server, [3, {}])
    assert (1, []) == (result.exit_code, server.requests)


@pytest.mark.parametrize(
    "line",
    [
        {"id": "a", "text": "green tea"},
        {"user_id": "ann", "liked": ["a"]},
        {"user_id": "ann", "item_id": "a", "type": "LIKE"},
    ],
)
def test_a_failed_stream_ends_the_command(line: Any) -> None:
    """If a stream fails, the command ends with its error, however many lines are left."""
    failure = Failure(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
    with RecordingServer(failure=failure) as server:
        result = run(server, [line] * 20 * MAX_WAITING_RESOURCES)
    assert 1 == result.exit_code
    assert (
        f"akin: UNAVAILABLE: the server at {server.address} is unavailable: "
        "the server is shutting down\n"
    ) == result.stderr


def test_a_missing_file_is_a_usage_error() -> None:
    """A file that does not exist ends the command with status 2."""
    result = CliRunner().invoke(app, ["import", "none.jsonl", "--address", "127.0.0.1:1"])
    assert (2, "akin: the file none.jsonl does not exist\n") == (result.exit_code, result.stderr)


def test_help_shows_whole_lines() -> None:
    """The help has the JSON of items and users as it is, with the brackets of lists."""
    help_ = " ".join(CliRunner().invoke(app, ["import", "--help"]).stdout.split())
    assert '"preferences": [{"text": "jogging", "weight": 1}], "liked": ["sku-1"]}' in help_


def test_rows_before_damage_are_stored(tmp_path: Path) -> None:
    """If a file is cut off, what comes before is stored, and the command ends with status 2."""
    file = tmp_path / "items.json"
    file.write_text('[{"id": "a", "text": "green tea"}, {"id": "b", "text": ')
    with RecordingServer() as server:
        result = run_file(server, file)
        (request,) = get_requests(server, pb.ImportItemsRequest)
    assert pb.ImportItemsRequest(items=[akin.item("a", "green tea")]) == request
    assert 2 == result.exit_code
    assert f"akin: {file}: not JSON at line 1" in result.stderr


def test_a_refused_file_needs_no_server(tmp_path: Path) -> None:
    """A file in a format that is not accepted ends the command with status 2 and one line."""
    file = tmp_path / "report.pdf"
    file.write_bytes(b"%PDF-1.7 ...")
    words = ["import", str(file), "--address", "127.0.0.1:1"]
    for command in (words, [*words, "--dry-run"]):
        result = CliRunner().invoke(app, command)
        assert (2, "") == (result.exit_code, result.stdout)
        assert result.stderr.startswith(f"akin: {file}: the file is a PDF")
        assert 1 == result.stderr.count("\n")


def test_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    """A folder instead of a file ends the command with status 2 and one line."""
    result = CliRunner().invoke(app, ["import", str(tmp_path)])
    assert (2, f"akin: {tmp_path} is a folder, not a file\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize("option", ["--map", "--split"])
@pytest.mark.parametrize("word", ["tags", "=|", "tags="])
def test_an_option_without_two_sides_is_a_usage_error(option: str, word: str) -> None:
    """An option of a table names both sides of its equals sign."""
    result = CliRunner().invoke(app, ["import", "-", option, word])
    assert 2 == result.exit_code
    assert "must have the form LEFT=RIGHT" in " ".join(result.stderr.split())


def test_alike_failures_are_printed_once() -> None:
    """After 100 alike failures a line says how many more there are; all of them count."""
    with RecordingServer() as server:
        result = run(server, [{"user_id": "ann", "item_id": f"i{n}"} for n in range(350)])
    lines = result.stderr.splitlines()
    assert (1, 101) == (result.exit_code, len(lines))
    assert lines[-1].startswith("and 250 more: INVALID_LINE: type: is required")
    assert result.stdout.startswith("no items, users or interactions stored in ")
    assert "350 lines failed" in result.stdout


TIME = datetime(2026, 1, 2, tzinfo=UTC)
INTERACTION_LINES = [
    {"user_id": "ann", "item_id": "a", "type": "LIKE", "time": "2026-01-02T00:00:00Z"},
    {"id": 7},
    {"user_id": "ann", "item_id": "b" * 300, "type": "VIEW", "time": 1767312000},
    {"user_id": "bob", "item_id": "a", "rating": 5, "interaction_id": "r1", "time": 1767312000},
]
INTERACTIONS = [
    akin.interaction("ann", "a", "LIKE", TIME),
    akin.interaction("ann", "b" * 300, "VIEW", TIME),
    akin.interaction("bob", "a", "LIKE", TIME, interaction_id="r1", value=5),
]


def test_interactions_have_a_stream() -> None:
    """Interactions are sent in the order of their lines, and failures have line numbers."""
    with RecordingServer(RESPONSES) as server:
        result = run(server, INTERACTION_LINES)
        assert [interaction_pb.ImportInteractionsRequest(interactions=INTERACTIONS)] == (
            server.requests
        )
    assert 1 == result.exit_code
    assert "1 interaction recorded, 1 duplicate in " in result.stdout
    assert "; 2 lines failed\n" in result.stdout
    rule, wrong, refused = result.stderr.splitlines()
    assert "type of ratings: LIKE from 3.5, DISLIKE below 2.5, VIEW otherwise" == rule
    assert wrong.startswith("line 2: INVALID_LINE: id: ")
    assert "line 3: INVALID_REQUEST: interaction.item_id is too long" == refused


def test_the_summary_counts_every_kind() -> None:
    """A file can have items, users and interactions, and the summary counts each kind."""
    with RecordingServer(RESPONSES) as server:
        lines = [*LINES, *INTERACTION_LINES]
        text = run(server, lines).stdout
        summary = json.loads(run(server, lines, "--json").stdout)
    assert "1 item and 1 user stored, 1 interaction recorded, 1 duplicate in " in text
    names = ("items", "users", "interactions", "duplicate_interactions")
    assert [1, 1, 1, 1] == [summary[name] for name in names]


def test_a_dry_run_counts_valid_interactions() -> None:
    """In a dry run, interactions without a failure are valid, and there is nothing to embed."""
    failures = interaction_pb.ImportInteractionsResponse(
        failures=[akin.InteractionFailure(position=1, code=INVALID_ARGUMENT, reason="R")]
    )
    with RecordingServer({"ImportInteractions": [failures]}) as server:
        result = run(server, INTERACTION_LINES, "--dry-run")
        (request,) = get_requests(server, interaction_pb.ImportInteractionsRequest)
    assert isinstance(request, interaction_pb.ImportInteractionsRequest)
    assert request.validate_only
    assert "2 interactions are valid; 2 lines failed\n" == result.stdout
    with RecordingServer() as server:
        result = run(server, INTERACTION_LINES[:1], "--dry-run")
    assert "1 interaction is valid; 0 lines failed\n" == result.stdout


def test_a_table_says_how_it_is_read() -> None:
    """The first line of the output has the columns of the fields, as they are."""
    table = "userId,movieId,rating,timestamp\n1,31,4.5,1260759144\n"
    with RecordingServer() as server:
        words = ["import", "-", "--address", server.address]
        result = CliRunner().invoke(app, words, input=table)
    assert (
        "interactions: user_id from userId, item_id from movieId, value from rating, time from "
        "timestamp\ntype: LIKE from 3.5, DISLIKE below 2.5, VIEW otherwise\n"
    ) == result.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--type", "fancy"], "must be VIEW, CLICK"),
        (["--type-map", "buy=fancy"], "must be VIEW, CLICK"),
        (["--type-map", "buy"], "must have the form LEFT=RIGHT"),
        (["--like-from", "3", "--dislike-below", "4"], "must not be above --like-from"),
        (["--like-from", "3", "--type", "LIKE"], "excludes --type"),
        (["--dislike-below", "3", "--type", "LIKE"], "excludes --type"),
        (["--like-from", "nan"], "must be a finite number"),
        (["--columns", "user,,item"], "must be names separated by commas"),
    ],
)
def test_options_of_interactions_are_checked(words: list[str], problem: str) -> None:
    """A wrong option of interactions ends the command with status 2 before the file is read."""
    result = CliRunner().invoke(app, ["import", "none.csv", *words])
    assert 2 == result.exit_code
    assert problem in " ".join(result.stderr.replace("│", " ").split())


PENDING = pb.ImportItemsResponse(
    results=[akin.ItemResult(sequence=n, state=akin.ItemState.ITEM_STATE_PENDING) for n in (1, 2)]
)
OUTAGE = akin.PendingItems(item_count=5, reason="EMBEDDING_UNAVAILABLE", message="it is down")


@pytest.mark.parametrize(
    ("pending_items", "status"),
    [([OUTAGE], 1), ([], 0)],
)
def test_items_must_be_indexed_on_request(
    pending_items: list[akin.PendingItems], status: int
) -> None:
    """With --require-indexed, items that are pending at the end end the command with status 1."""
    catalog = catalog_pb.GetCatalogResponse(catalog=akin.Catalog(pending_items=pending_items))
    lines = [{"id": "a", "text": "green tea"}, {"id": "b", "text": "black tea"}]
    with RecordingServer({"ImportItems": [PENDING], "GetCatalog": [catalog]}) as server:
        assert 0 == run(server, lines).exit_code
        result = run(server, lines, "--require-indexed")
    assert status == result.exit_code
    message = "akin: items are pending: 2 EMBEDDING_UNAVAILABLE: it is down\n"
    assert (message if status else "") == result.stderr
