import io
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import akin
import grpc
import numpy as np
import pytest
from akin.v1 import interaction_service_pb2 as interaction_pb
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.message import Message
from pyarrow import parquet
from support.processes import AKIN
from support.recording import RecordingServer
from support.scripted import Failure
from support.server import WAIT_SECONDS
from typer.testing import CliRunner, Result

from service.cli.formats.json_lines import read_json_lines
from service.cli.formats.rows import MAX_LINE_BYTES
from service.cli.import_lines import parse_line, to_message
from service.cli.main import app

# Makes a command heed Ctrl-C even if it is ignored here, as in background jobs of a shell.
HEED_INTERRUPTS = (shutil.which("env") or "env", "--default-signal=INT")

ITEM = akin.item("a\u202e", "tea", {"price": 9.5, "none": None})
LONG_USER = akin.User(
    user_id="ann", preferences=[akin.Preference(text="x" * (MAX_LINE_BYTES // 8), weight=1)] * 8
)


def run(server: RecordingServer, *words: str | Path) -> Result:
    """Return the result of `akin export`."""
    return CliRunner().invoke(app, ["export", *map(str, words), "--address", server.address])


def make_responses(*items: akin.Item, **lists: list[Message]) -> dict[str, list[Message]]:
    listed = pb.ListItemsResponse(items=items, total_size=len(items))
    return {"ListItems": [listed], **lists}


def test_json_lines_on_standard_output() -> None:
    """Standard output has nothing but lines of JSON, which a terminal does not obey."""
    users = pb.ListUsersResponse(users=[akin.User(user_id="ann")], total_size=1)
    with RecordingServer(make_responses(ITEM, ListUsers=[users])) as server:
        result = run(server, "-")
    item, user = map(json.loads, result.stdout.splitlines())
    assert {"id": "a\u202e", "text": "tea", "attributes": {"price": 9.5, "none": None}} == item
    assert {"user_id": "ann", "preferences": [], "liked": []} == user
    assert "\u202e" not in result.stdout
    assert "standard output: 1 item, 1 user, 0 interactions\n" == result.stderr


def test_csv_on_standard_output() -> None:
    """A table has the columns of its kind, with attributes as JSON."""
    with RecordingServer(make_responses(ITEM)) as server:
        result = run(server, "-", "--format", "csv", "--only", "items")
    header, row = result.stdout_bytes.decode().splitlines()
    assert "id,text,attributes,expire_time" == header
    assert 'a\u202e,tea,"{""none"": null, ""price"": 9.5}",' in (
        row,
        row.replace('""price"": 9.5, ""none"": null', '""none"": null, ""price"": 9.5'),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.csv"], "csv has rows of one kind: choose it with --only items"),
        (["x.txt"], "the ending must be .jsonl, .ndjson, .csv, .parquet, or --format names"),
        (["-", "--format", "parquet", "--only", "items"], "Parquet needs a file"),
    ],
)
def test_unclear_exports_are_refused(words: list[str], message: str) -> None:
    """A table of several kinds, an unknown ending and Parquet in a pipe are usage errors."""
    with RecordingServer() as server:
        result = run(server, *words)
        assert [] == server.requests
    assert 2 == result.exit_code
    assert message in result.stderr


@pytest.mark.parametrize("previous", [None, b"previous"])
def test_a_failed_export_leaves_nothing(tmp_path: Path, previous: bytes | None) -> None:
    """If the server fails, there is no new file, and one that was there before is unchanged."""
    file = tmp_path / "a.jsonl"
    if previous is not None:
        file.write_bytes(previous)
    failure = Failure(grpc.StatusCode.INTERNAL)
    with RecordingServer(failure=failure) as server:
        result = run(server, file)
    assert 1 == result.exit_code
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert ({} if previous is None else {"a.jsonl": previous}) == contents


def test_a_link_and_a_pipe_stay_what_they_are(tmp_path: Path) -> None:
    """An export to a link replaces the file it leads to, and one to a named pipe writes into it."""
    file, link, pipe = tmp_path / "file.jsonl", tmp_path / "link.jsonl", tmp_path / "pipe"
    file.write_bytes(b"previous")
    link.symlink_to(file)
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with RecordingServer(make_responses(ITEM)) as server:
        assert 0 == run(server, link).exit_code
        assert 0 == run(server, pipe, "--format", "jsonl").exit_code
    reader.join(60)
    assert (True, True) == (link.is_symlink(), pipe.is_fifo())
    assert [file.read_bytes()] == received
    assert "tea" == json.loads(file.read_text())["text"]


def test_a_row_that_an_import_would_refuse_is_named(tmp_path: Path) -> None:
    """A user who does not fit into a line of CSV ends the export before it is complete."""
    responses: dict[str, list[Message]] = {
        "ListUsers": [pb.ListUsersResponse(users=[LONG_USER], total_size=1)]
    }
    with RecordingServer(responses) as server:
        result = run(server, tmp_path / "a.csv", "--only", "users")
    assert 1 == result.exit_code
    assert "a.csv: the row of ann has 8," in result.stderr
    assert [] == list(tmp_path.iterdir())


def read_messages(file: Path) -> list[Message]:
    """Return the items and users of a file as `akin import` sends them."""
    rows = read_json_lines(io.BytesIO(file.read_bytes())).rows
    return [to_message(parse_line(row.value)) for row in rows]


def test_json_lines_hold_a_row_of_any_length(tmp_path: Path) -> None:
    """Of a long user, and of an item with many vectors, an import reads what was exported.

    The numbers have the fewest digits that are read as the same float32.
    """
    chance = np.random.default_rng(5)
    vectors = chance.normal(size=(800, 1_024)).astype(np.float32)
    vectors[0, :5] = [0.1, -0.0, 1e-45, 3e38, 1]
    item = akin.item("a", "tea", vectors=vectors.tolist())
    users = pb.ListUsersResponse(users=[LONG_USER], total_size=1)
    file = tmp_path / "a.jsonl"
    with RecordingServer(make_responses(item, ListUsers=[users])) as server:
        result = run(server, file, "--vectors")
    assert (0, "") == (result.exit_code, result.stderr)
    assert [item, LONG_USER] == read_messages(file)
    line = file.read_bytes().splitlines()[0]
    assert b'"vectors": [[0.1, -0.0, 1e-45, 3e+38, 1.0, ' in line
    assert MAX_LINE_BYTES < len(line) < 14 * vectors.size


def test_parquet_holds_a_row_of_any_length(tmp_path: Path) -> None:
    """A user who does not fit into a line is exported as Parquet."""
    responses: dict[str, list[Message]] = {
        "ListUsers": [pb.ListUsersResponse(users=[LONG_USER], total_size=1)]
    }
    file = tmp_path / "a.parquet"
    with RecordingServer(responses) as server:
        run(server, file, "--only", "users")
    (row,) = parquet.read_table(file).to_pylist()
    texts = [preference.text for preference in LONG_USER.preferences]
    assert texts == [preference["text"] for preference in row["preferences"]]


TEXT_ITEM = akin.item("b", "sea", vectors=[[0.5, 2]])
OWN_ITEM = akin.item("c", "ship", vectors=[[0.25, 1]])
OWN_ITEM.has_own_vectors = True


def test_vectors_are_requested_only_where_items_have_their_own() -> None:
    """A page of texts is requested once, without vectors, and one with own vectors again."""
    with RecordingServer(make_responses(TEXT_ITEM)) as server:
        texts = run(server, "-", "--only", "items")
        requests_for_texts = list(server.requests)
    with RecordingServer(make_responses(TEXT_ITEM, OWN_ITEM)) as server:
        mixed = run(server, "-", "--only", "items")
        requests_for_both = list(server.requests)
    lists = [
        [
            request.include_vectors
            for request in requests
            if isinstance(request, pb.ListItemsRequest)
        ]
        for requests in (requests_for_texts, requests_for_both)
    ]
    assert [[False], [False, True]] == lists
    assert "vectors" not in texts.stdout
    text, own = map(json.loads, mixed.stdout.splitlines())
    assert ("b", None) == (text["id"], text.get("vectors"))
    assert ("c", [[0.25, 1]]) == (own["id"], own.get("vectors"))


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_own_vectors_that_a_table_lacks_are_counted(tmp_path: Path, format_: str) -> None:
    """Standard error says how many items lose vectors that cannot be made again."""
    file = tmp_path / "a"
    words = ("--only", "items", "--format", format_)
    with RecordingServer(make_responses(OWN_ITEM, TEXT_ITEM)) as server:
        result = run(server, file, *words)
    with RecordingServer(make_responses(TEXT_ITEM)) as server:
        without = run(server, file, *words)
    assert "left out: the own vectors of 1 item, which cannot be made again" in result.stderr
    assert (0, "") == (without.exit_code, without.stderr)


def test_recommendation_ids_are_left_out_with_a_notice() -> None:
    """Ids of responses are exported only on request, because other catalogs refuse them."""
    interaction = akin.interaction("ann", "a", "CLICK", recommendation_id="r1")
    page = interaction_pb.ListInteractionsResponse(interactions=[interaction], total_size=1)
    with RecordingServer({"ListInteractions": [page]}) as server:
        without = run(server, "-", "--only", "interactions")
        with_ids = run(server, "-", "--only", "interactions", "--recommendation-ids")
        as_csv = run(
            server, "-", "--only", "interactions", "--recommendation-ids", "--format", "csv"
        )
    assert "recommendation_id" not in json.loads(without.stdout)
    assert "left out: the recommendation_id of 1 interaction" in without.stderr
    assert "r1" == json.loads(with_ids.stdout)["recommendation_id"]
    assert "left out" not in with_ids.stderr
    assert as_csv.stdout.splitlines()[1].endswith(",r1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_export_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """An export that is ended while the server does not respond removes what it has written."""
    file = tmp_path / "a.jsonl"
    with RecordingServer(held=True) as server:
        process = subprocess.Popen(
            [*HEED_INTERRUPTS, *AKIN, "export", str(file), "--address", server.address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server.wait_for_request()
        assert [f"{file.name}."] == [path.name[: len(file.name) + 1] for path in tmp_path.iterdir()]
        process.send_signal(number)
        assert 128 + number == process.wait(WAIT_SECONDS)
    assert [] == list(tmp_path.iterdir())
