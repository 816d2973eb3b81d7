"""The commands in the pages, run as a reader would, against a real server."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.http_server import HttpServer
from support.provider import ScriptedProvider
from support.server import WAIT_SECONDS
from support.snippets import ADDRESS, HTTP_ADDRESS, ROOT, list_pages, list_runnable

PAGES = list_runnable("sh", list_pages())

WITHOUT_SERVER = {ROOT / "docs/operating.md"}
"""Pages with commands that need the data of a stopped server."""

NEEDS_SHOP = {ROOT / "docs/ranking.md"}
"""Pages with commands for the catalog `shop`, which another page creates."""

BOOKS = ROOT / "service/cli/sample/books.jsonl"
RATERS = 6

CURL_FAILURE = 22
"""The exit status of curl for an HTTP status that is an error, with `--fail-with-body`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like a checkout, with the files that the pages name."""
    for name in ("service", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    lines = BOOKS.read_text().splitlines(keepends=True)
    ids = [json.loads(line)["id"] for line in lines]
    for name in ("items.jsonl", "shoes.jsonl"):
        (tmp_path / name).write_text("".join(lines))
    (tmp_path / "items.jsonl.gz").write_bytes(gzip.compress("".join(lines[:9]).encode()))
    (tmp_path / "products.csv").write_text(
        "sku,title,description,tags\nrope-1,Climbing rope,Sixty metres,outdoor|climbing\n"
    )
    ratings = [(user, ids[user + 7 * n], n % 10 + 1) for user in range(RATERS) for n in range(20)]
    _write_table(tmp_path / "ratings.csv", "userId,movieId,rating", ratings, highest=5)
    _write_table(tmp_path / "ratings-up-to-10.csv", "userId,movieId,rating", ratings, highest=10)
    _write_table(tmp_path / "listening.tsv", "user\titem\tplays", ratings, highest=40)
    return tmp_path


def _write_table(
    path: Path, header: str, ratings: list[tuple[int, str, int]], *, highest: int
) -> None:
    """Write ratings from 1 to 10 as a table of ratings up to `highest`."""
    delimiter = "\t" if "\t" in header else ","
    rows = [
        delimiter.join((f"user-{user}", item, str(rating * highest / 10)))
        for user, item, rating in ratings
    ]
    path.write_text("\n".join([header, *rows, ""]))


@pytest.fixture
def variables(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of the commands: that of a reader who runs a server in the folder."""
    with ScriptedProvider() as provider:
        settings = {
            "EMBEDDER": "openrouter",
            "OPENROUTER_API_KEY": "key",
            "EMBEDDING_BASE_URL": provider.url,
        }
        with HttpServer(folder, **settings) as server, server.client() as client:
            for item_id in ("sku-1", "sku-2", "tea-1"):
                client.upsert_item(item_id, "A rain jacket", {"color": "red", "price": 79})
            for user_id in ("ann", "bea"):
                client.upsert_user(user_id, preferences=["hiking"])
            page = request.node.callspec.params["page"]
            if page in NEEDS_SHOP:
                client.create_catalog("shop")
            if page in WITHOUT_SERVER:
                server.stop()
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            addresses = {"AKIN_ADDRESS": server.address, "HTTP_ADDRESS": server.http_address}
            # curl otherwise succeeds whatever the server answers.
            (folder / ".curlrc").write_text("fail-with-body\n")
            yield {**os.environ, **addresses, "PATH": path, "CURL_HOME": str(folder)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_shell_snippets_succeed_and_print(
    page: Path, folder: Path, variables: dict[str, str]
) -> None:
    """The commands of a page succeed in order, or fail as it says, and each snippet prints."""
    for snippet in PAGES[page]:
        code = snippet.code.replace(ADDRESS, variables["AKIN_ADDRESS"])
        code = code.replace(HTTP_ADDRESS, variables["HTTP_ADDRESS"])
        process = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", code],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        expected = CURL_FAILURE if snippet.fails else 0
        assert process.returncode == expected, f"{snippet.name}: {process.stdout}"
        assert process.stdout.strip(), snippet.name
