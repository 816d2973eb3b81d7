"""Options for files of interactions, which several commands share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import typer

from service.cli.interaction_builder import InteractionOptions
from service.cli.interaction_types import parse_type

ColumnsOption = Annotated[
    str,
    typer.Option(
        metavar="NAME,NAME,...",
        help="Names of the columns of a CSV or TSV without a header. Default: the first line "
        "is the header.",
    ),
]
TypeOption = Annotated[
    str,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Type of interactions without one, such as LIKE. Default: ratings determine it.",
    ),
]
TypeMapOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=TYPE",
        help="Type of the interactions whose event has this name, such as wishlist=LIKE. "
        "Repeatable. Default: the usual names of the types.",
    ),
]
LikeFromOption = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Lowest rating of a like. Default: 3.5 for ratings up to 5; other scales need "
        "this option.",
    ),
]
DislikeBelowOption = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Ratings below this are dislikes. Default: 2.5 for ratings up to 5, and no "
        "dislikes with --like-from.",
    ),
]


def split_pairs(words: Sequence[str] | None, option: str) -> dict[str, str]:
    """Return the two sides of the equals signs of a repeatable option.

    Raises:
        BadParameter: a word has no equals sign, or two have the same left side.
    """
    pairs: dict[str, str] = {}
    for word in words or ():
        left, _, right = word.partition("=")
        if not left or not right:
            raise typer.BadParameter(
                f"must have the form LEFT=RIGHT, not {word}", param_hint=option
            )
        if left in pairs:
            raise typer.BadParameter(f"has {left} twice", param_hint=option)
        pairs[left] = right
    return pairs


def split_columns(text: str) -> list[str]:
    """Return the names of --columns.

    Raises:
        BadParameter: a name is empty.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    if not all(names):
        raise typer.BadParameter("must be names separated by commas", param_hint="--columns")
    return names


def parse_type_option(text: str, option: str = "--type") -> str:
    """Return the type that an option names; empty if the option is unset.

    Raises:
        BadParameter: it cannot be the name of a type.
    """
    try:
        return parse_type(text) if text else ""
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=option) from None


def parse_type_map(words: Sequence[str] | None) -> dict[str, str]:
    """Return the types of --type-map by the names of events.

    Raises:
        BadParameter: a word is no pair, or its right side cannot be the name of a type.
    """
    pairs = split_pairs(words, "--type-map")
    return {name: parse_type_option(text, "--type-map") for name, text in pairs.items()}


def check_rating_options(options: InteractionOptions) -> None:
    """Check the limits of likes and dislikes.

    Raises:
        BadParameter: a limit is not finite, they contradict each other, or there is one type.
    """
    like_from, dislike_below = options.like_from, options.dislike_below
    for option, value in (("--like-from", like_from), ("--dislike-below", dislike_below)):
        if value is not None and options.default_type:
            raise typer.BadParameter("excludes --type", param_hint=option)
        if value is not None and not math.isfinite(value):
            raise typer.BadParameter("must be a finite number", param_hint=option)
    if like_from is not None and dislike_below is not None and dislike_below > like_from:
        raise typer.BadParameter("must not be above --like-from", param_hint="--dislike-below")
