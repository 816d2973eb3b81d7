"""A bookshop with recommendations, as a web application of FastAPI.

AKIN_ADDRESS=127.0.0.1:50051 uvicorn --app-dir examples/shop shop:app
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import akin
from books import Book, load_books
from fastapi import APIRouter, Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from recommender import ROW_BOOKS, Recommender, Row
from starlette.background import BackgroundTask

BOOKS = load_books()

# A shop may use Akin for a moment only: visitors do not wait for recommendations.
TIMEOUT_SECONDS = 2.0

COOKIE_SECONDS = 365 * 24 * 3600

templates = Jinja2Templates(Path(__file__).parent)

# What a visitor can do with a book, and the types of interactions in Akin.
ACTIONS = {"like": "LIKE", "buy": "PURCHASE"}


router = APIRouter()


def create_app(address: str) -> FastAPI:
    """Return the application of a shop.

    Args:
        address: `host:port` of Akin.
    """

    @asynccontextmanager
    async def connect(app: FastAPI) -> AsyncIterator[None]:
        """Connect to Akin and store the books; close the connection when the application ends."""
        async with akin.AsyncClient(address, timeout_seconds=TIMEOUT_SECONDS) as client:
            app.state.recommender = Recommender(client, BOOKS)
            await app.state.recommender.store_books()
            yield

    app = FastAPI(title="Bookshop", lifespan=connect)
    app.include_router(router)
    return app


def get_recommender(request: Request) -> Recommender:
    """Return the recommender of the application."""
    recommender: Recommender = request.app.state.recommender
    return recommender


def get_visitor(visitor: Annotated[str, Cookie()] = "") -> str:
    """Return the id of the visitor, which a cookie keeps. A shop with accounts uses theirs."""
    return visitor or secrets.token_hex(16)


def get_book(book_id: str) -> Book:
    """Return a book, or respond with 404."""
    if book_id not in BOOKS:
        raise HTTPException(404, "the shop has no such book")
    return BOOKS[book_id]


Recommend = Annotated[Recommender, Depends(get_recommender)]
Visitor = Annotated[str, Depends(get_visitor)]
ChosenBook = Annotated[Book, Depends(get_book)]


@router.get("/")
async def show_shop(
    request: Request, recommender: Recommend, visitor: Visitor, q: str = ""
) -> Response:
    """Show search results, recommendations for the visitor, and books of the shop."""
    rows = {"For you": await recommender.recommend_for(visitor)}
    if q:
        rows = {f"Books about {q}": await recommender.search(q)} | rows
    rows["From our shelves"] = Row(books=tuple(BOOKS.values())[:ROW_BOOKS])
    return _keep_visitor(
        templates.TemplateResponse(request, "page.html", {"rows": rows, "q": q}), visitor
    )


@router.get("/books/{book_id}")  # noqa: FAST003  (get_book takes it)
async def show_book(
    request: Request,
    recommender: Recommend,
    visitor: Visitor,
    book: ChosenBook,
    recommendation_id: str = "",
) -> Response:
    """Show a book and books like it; record the view after the response."""
    rows = {"Similar books": await recommender.recommend_like(book.book_id)}
    values = {"rows": rows, "book": book, "recommendation_id": recommendation_id}
    view = BackgroundTask(recommender.record, visitor, book.book_id, "VIEW", recommendation_id)
    page = templates.TemplateResponse(request, "page.html", values, background=view)
    return _keep_visitor(page, visitor)


@router.post("/books/{book_id}/{action}")  # noqa: FAST003  (get_book takes it)
async def act(
    recommender: Recommend,
    visitor: Visitor,
    book: ChosenBook,
    action: str,
    recommendation_id: str = "",
) -> Response:
    """Record that the visitor likes or buys a book, and show the book again."""
    if action not in ACTIONS:
        raise HTTPException(404, "visitors can like and buy books")
    await recommender.record(visitor, book.book_id, ACTIONS[action], recommendation_id)
    return _keep_visitor(RedirectResponse(f"/books/{book.book_id}", status_code=303), visitor)


@router.get("/api/recommendations")
async def list_recommendations(recommender: Recommend, visitor: Visitor) -> Response:
    """Return recommendations for the visitor as JSON, for a page that loads them later."""
    row = await recommender.recommend_for(visitor)
    books = [{"id": book.book_id, "title": book.title} for book in row.books]
    values = {"recommendation_id": row.recommendation_id, "books": books}
    return _keep_visitor(JSONResponse(values), visitor)


def _keep_visitor(response: Response, visitor: str) -> Response:
    """Return a response with the cookie of the visitor."""
    response.set_cookie("visitor", visitor, max_age=COOKIE_SECONDS, httponly=True, samesite="lax")
    return response


app = create_app(os.environ.get("AKIN_ADDRESS", "127.0.0.1:50051"))
