import csv
import gzip
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import akin
import pytest
from akin.filters import all_of, between, contains_any
from support.command import run
from support.server import WAIT_SECONDS, RunningServer

PRODUCTS = 2_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("import")) as running:
        yield running


def import_lines(
    server: RunningServer, folder: Path, lines: Sequence[Mapping[str, Any]]
) -> tuple[int, str]:
    """Return the status and the error output of an import of JSON lines in a file in `folder`."""
    file = folder / "lines.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    done = run("import", file, "--address", server.address, folder=folder)
    return done.status, done.stderr.decode()


def write_products() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["sku", "title", "description", "price", "tags"])
    for number in range(PRODUCTS):
        writer.writerow(
            [f"{number:05}", f"Shoe {number}", "For trails, wet\nor dry", number / 100, "red|dry"]
        )
    return text.getvalue().encode()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_product_feed_is_imported_by_one_command(
    server: RunningServer, tmp_path: Path, compressed: bool
) -> None:
    """A CSV file with a template, prices and tags is imported, also compressed through a pipe."""
    file = tmp_path / "products.csv"
    file.write_bytes(gzip.compress(write_products()) if compressed else write_products())
    with server.client() as client:
        client.batch_delete_items([f"{number:05}" for number in range(1_000)])
        before = client.get_catalog().item_count
        name = f"<(cat {shlex.quote(str(file))})" if compressed else shlex.quote(str(file))
        command = (
            f"{shlex.quote(sys.executable)} -m service import {name} --address {server.address} "
            "--map id=sku --template '{title}. {description}' --split 'tags=|' --require-indexed"
        )
        result = subprocess.run(
            ["bash", "-c", command],  # noqa: S607  (process substitution needs bash)
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        assert 0 == result.returncode, result.stderr
        assert f"{PRODUCTS:,} items and 0 users stored" in result.stdout
        assert "attributes: price (number), tags (list of text)\n" in result.stderr
        item = client.get_item("00042")
        assert akin.item(
            "00042", "Shoe 42. For trails, wet\nor dry", {"price": 0.42, "tags": ["red", "dry"]}
        ) == akin.Item(item_id=item.item_id, text=item.text, attributes=item.attributes)
        where = all_of(between("price", lt=0.1), contains_any("tags", ["red"]))
        assert 10 == client.list_items(where=where).total_size
        assert before in {0, client.get_catalog().item_count - 1_000}


def test_an_error_ends_an_import_whose_pipe_stays_open(server: RunningServer) -> None:
    """A call that fails ends the import, although the writer of its pipe writes no more."""
    lines = (json.dumps({"id": f"{number}", "text": "x" * 300}) for number in range(300))
    words = ["--catalog", "none", "import", "-", "--address", server.address]
    with subprocess.Popen(
        [sys.executable, "-m", "service", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write("\n".join(lines))
            process.stdin.flush()
            assert 1 == process.wait(WAIT_SECONDS)
            assert ["akin: NOT_FOUND: catalog 'none' does not exist"] == (
                process.stderr.read().splitlines()
            )
        finally:
            process.kill()


def test_nothing_is_erased_by_a_wrong_line(server: RunningServer, tmp_path: Path) -> None:
    """Reviews, misspelt fields and users without content leave stored users and items alone."""
    with server.client() as client:
        client.upsert_user("ann", ["sailing"], ["book-1", "book-2"])
        client.upsert_item("kept", "A good book", {"price": 9})
        lines: list[dict[str, Any]] = [
            {"user_id": "ann", "item_id": "book-3", "text": "a review"},
            {"user_id": "ann", "likes": ["book-3"]},
            {"user_id": "ann"},
            {"id": "kept", "text": "A book", "metadata": {}},
            {"id": "kept", "text": "A book", "user_id": "seller"},
            {"id": "kept", "text": "A book", "attributes": {"hash": 10**400}},
        ]
        status, stderr = import_lines(server, tmp_path, lines)
        assert (1, len(lines)) == (status, stderr.count("\n"))
        user = client.get_user("ann")
        assert (1, 2) == (len(user.preferences), len(user.liked_items))
        item = client.get_item("kept")
        assert ("A good book", 9) == (item.text, item.attributes["price"])


@pytest.mark.parametrize("distance", [1, 300])
def test_the_last_line_of_an_id_counts(
    server: RunningServer, tmp_path: Path, distance: int
) -> None:
    """Of several lines with one id the last one remains, next to each other or batches apart."""
    numbers = range(300)
    versions = (
        [(number, text) for number in numbers for text in ("old", "new")]
        if distance == 1
        else [(number, text) for text in ("old", "new") for number in numbers]
    )
    lines: list[dict[str, Any]] = []
    for number, text in versions:
        lines.append({"id": f"order-{number}", "text": f"{text} {number} {distance}"})
        lines.append({"user_id": f"order-{number}", "preferences": [{"text": f"{text} {number}"}]})
    assert (0, "") == import_lines(server, tmp_path, lines)
    with server.client() as client:
        items = client.batch_get_items([f"order-{number}" for number in numbers]).items
        assert 300 == len([item for item in items if item.text.startswith("new")])
        users = [client.get_user(f"order-{number}") for number in numbers]
        assert 300 == len([user for user in users if user.preferences[0].text.startswith("new")])
