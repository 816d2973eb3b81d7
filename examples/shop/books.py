"""The shop's own data: books from a file of JSON lines. Other shops have a database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import akin

SAMPLE = Path(__file__).parents[2] / "service/cli/sample/books.jsonl"


class Book(NamedTuple):
    """A book of the shop."""

    book_id: str
    title: str
    author: str
    year: int
    text: str
    attributes: dict[str, Any]

    def to_item(self) -> akin.Item:
        """Return the book as Akin stores it: the text to embed, and attributes to filter by."""
        return akin.item(self.book_id, self.text, self.attributes)


def load_books(file: Path = SAMPLE) -> dict[str, Book]:
    """Return the books of a file by id."""
    rows = map(json.loads, file.read_text("utf-8").splitlines())
    return {row["id"]: _build_book(row["id"], row["text"], row["attributes"]) for row in rows}


def _build_book(book_id: str, text: str, attributes: dict[str, Any]) -> Book:
    return Book(
        book_id, attributes["title"], attributes["author"], attributes["year"], text, attributes
    )
