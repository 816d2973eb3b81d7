"""The shop's calls to Akin. If Akin cannot be reached, the shop works without recommendations."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Unpack

import akin
from akin.options import RecommendSimilarOptions
from books import Book

logger = logging.getLogger(__name__)

# Books in a row of the page.
ROW_BOOKS = 6


class Row(NamedTuple):
    """Recommended books.

    Attributes:
        recommendation_id: names the response; interactions that it leads to refer to it.
        books: the books, best first.
    """

    recommendation_id: str = ""
    books: tuple[Book, ...] = ()


class Recommender:
    """Recommends books, and tells Akin what visitors do.

    Args:
        client: client of the server.
        books: all books of the shop by id.
    """

    def __init__(self, client: akin.AsyncClient, books: Mapping[str, Book]) -> None:
        self._client = client
        self._books = books

    async def store_books(self) -> None:
        """Store all books. Texts that did not change are not embedded again."""
        items = [book.to_item() for book in self._books.values()]
        try:
            results = [result async for result in self._client.import_items(items)]
        except akin.AkinError as exc:
            logger.warning("the books are not stored: %s", exc)
            return
        for result in results:
            if result.code:
                logger.warning("%s is not stored: %s", result.item_id, result.message)

    async def recommend_for(self, visitor: str) -> Row:
        """Recommend books for a visitor, or popular ones as long as nothing is known of them."""
        return await self._recommend(
            user_id=visitor, fallback=akin.Fallback.FALLBACK_POPULAR, diversity=0.3
        )

    async def recommend_like(self, book_id: str) -> Row:
        """Recommend books like another one."""
        return await self._recommend(item_id=book_id, max_similarity=0.95)

    async def search(self, text: str) -> Row:
        """Find books about a topic."""
        return await self._recommend(text=text)

    async def record(self, visitor: str, book_id: str, type_: str, recommendation_id: str) -> None:
        """Record what a visitor did with a book, and which recommendation led to it."""
        interaction = akin.interaction(visitor, book_id, type_, recommendation_id=recommendation_id)
        try:
            await self._client.record_interactions([interaction])
        except akin.AkinError as exc:
            logger.warning("%s of %s is not recorded: %s", type_, book_id, exc)

    async def _recommend(self, **options: Unpack[RecommendSimilarOptions]) -> Row:
        options["limit"] = ROW_BOOKS
        try:
            response = await self._client.recommend_similar(**options)
        except akin.AkinError as exc:
            logger.warning("no recommendations: %s", exc)
            return Row()
        ids = (hit.item_id for hit in response.recommendations)
        return Row(response.recommendation_id, tuple(self._find_books(ids)))

    def _find_books(self, ids: Iterable[str]) -> Iterable[Book]:
        """Yield the books that the shop still has."""
        return (self._books[book_id] for book_id in ids if book_id in self._books)
