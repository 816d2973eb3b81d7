"""The example of a shop: its pages, what it records, and the commands of its README."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import shop
from fastapi.testclient import TestClient
from support.server import RunningServer, free_address
from support.waiting import until

ROOT = Path(__file__).parents[2]
README = (ROOT / "examples/shop/README.md").read_text()
LINK = re.compile(r'<a href="/books/([^?"]+)\?recommendation_id=([^"]*)">')


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[TestClient]:
    """A visitor of a shop over an empty server."""
    with TestClient(shop.create_app(server.address)) as client:
        yield client
    with server.client() as client:
        for interaction in client.list_interactions().interactions:
            client.delete_interactions(interaction.user_id)
        client.batch_delete_items(list(shop.BOOKS))


def find_links(page: str, title: str) -> list[tuple[str, str]]:
    """Return the ids of the books in a row, with those of the recommendation."""
    return LINK.findall(page.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0])


def list_interactions(server: RunningServer) -> list[tuple[str, str, str]]:
    with server.client() as client:
        return [
            (each.type, each.item_id, each.recommendation_id)
            for each in client.list_interactions().interactions
        ]


def test_visitors_get_what_they_like(server: RunningServer, visitor: TestClient) -> None:
    """A like changes the recommendations, and names the recommendation that led to it."""
    book = visitor.get("/books/book:dune")
    assert 200 == book.status_code
    similar = find_links(book.text, "Similar books")
    assert "book%3Adune-messiah" in dict(similar)
    recommendation_id = similar[0][1]
    assert recommendation_id
    path = f"/books/book:dune-messiah/like?recommendation_id={recommendation_id}"
    liked = visitor.post(path, follow_redirects=False)
    assert 303 == liked.status_code
    assert ("LIKE", "book:dune-messiah", recommendation_id) in list_interactions(server)
    until(lambda: ("VIEW", "book:dune", "") in list_interactions(server))
    recommended = dict(find_links(visitor.get("/").text, "For you"))
    assert "book%3Adune" in recommended
    assert "book%3Adune-messiah" not in recommended


def test_purchases_are_recorded_with_the_visitor(
    server: RunningServer, visitor: TestClient
) -> None:
    """The cookie is the user, also for the JSON interface."""
    visitor.post("/books/book:emma/buy")
    with server.client() as client:
        (purchase,) = (
            each for each in client.list_interactions().interactions if each.type == "PURCHASE"
        )
    assert visitor.cookies["visitor"] == purchase.user_id
    row = visitor.get("/api/recommendations").json()
    assert row["recommendation_id"]
    assert "book:pride-and-prejudice" in [book["id"] for book in row["books"]]


def test_searches_find_books_by_topic(visitor: TestClient) -> None:
    """The first row has books about the topic, and the page shows the topic as text."""
    page = visitor.get("/", params={"q": "survival at sea <b>"}).text
    assert "survival at sea &lt;b&gt;" in page
    links = dict(find_links(page, "Books about survival at sea &lt;b&gt;"))
    assert "book%3Akon-tiki" in links


def test_unknown_books_and_actions_are_not_found(visitor: TestClient) -> None:
    """A wrong address is an error of the visitor."""
    assert 404 == visitor.get("/books/book:nothing").status_code
    assert 404 == visitor.post("/books/book:dune/burn").status_code


def test_the_shop_works_without_akin() -> None:
    """Without a server, pages have the shop's own books and no recommendations."""
    with TestClient(shop.create_app(free_address())) as visitor:
        page = visitor.get("/").text
        assert shop.ROW_BOOKS == len(find_links(page, "From our shelves"))
        assert "For you" not in page
        assert 200 == visitor.post("/books/book:dune/like").status_code


def test_the_readme_works(server: RunningServer, tmp_path: Path) -> None:
    """The command that starts the shop works, as do those that like a book and list the like."""
    address = free_address()
    (start,) = re.findall(r"^AKIN_ADDRESS=\S+ (\S+uvicorn.*)$", README, re.MULTILINE)
    program = Path(sys.executable).with_name("uvicorn")
    words = [str(program), *shlex.split(start)[1:-1], address.rpartition(":")[2]]
    variables = {**os.environ, "AKIN_ADDRESS": server.address}
    process = subprocess.Popen(words, cwd=ROOT, env=variables)
    try:
        commands = re.findall(r"^curl .*$", README.replace("127.0.0.1:8000", address), re.MULTILINE)
        like, show = map(shlex.split, commands)
        until(lambda: subprocess.run(like, cwd=tmp_path, check=False).returncode == 0)
        output = subprocess.run(show, cwd=tmp_path, check=True, capture_output=True).stdout
    finally:
        process.terminate()
        process.wait(30)
    assert {"id": "book:dune-messiah", "title": "Dune Messiah"} in json.loads(output)["books"]
    (snippet,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    words = [sys.executable, "-c", snippet.replace("127.0.0.1:50051", server.address)]
    assert b"LIKE book:dune" in subprocess.run(words, check=True, capture_output=True).stdout
