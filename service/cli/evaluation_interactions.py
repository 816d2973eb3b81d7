"""Reads a file of interactions for an evaluation, and hides a part of the likes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import akin

from service.cli import console
from service.cli.evaluation_errors import EvaluationError, InvalidLines
from service.cli.evaluation_input import (
    EvaluationInput,
    Person,
    SplitSummary,
    TimedInteraction,
    read_item_ids,
)
from service.cli.evaluation_splits import (
    LikeLists,
    LikeSplit,
    TimedLike,
    choose_evenly,
    cut_in_time,
    hide_newest,
)
from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, LineError
from service.cli.import_rows import map_rows
from service.cli.interaction_builder import InteractionOptions
from service.cli.table_mapping import TableOptions
from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS

HideName = Literal["newest", "cut"]

# Interactions of a type with at least this weight are likes, which are predicted. The others, such
# as views, are only learned from.
MIN_LIKE_WEIGHT = 1.0

# The people that are recommended to; with more, intervals hardly get narrower than 0.01.
MAX_TESTED_PEOPLE = 2_000

_US_PER_SECOND = 1_000_000

_SPLITS: Mapping[str, Callable[[LikeLists], LikeSplit]] = {
    "newest": hide_newest,
    "cut": cut_in_time,
}


class RowOptions(NamedTuple):
    """How the rows of a file of interactions are read.

    Attributes:
        interactions: the options for interactions.
        columns: the names of the columns if the file has no header.
    """

    interactions: InteractionOptions = InteractionOptions(is_forced=True)
    columns: Sequence[str] = []


def read_interaction_input(
    items: Path, interactions: Path, options: RowOptions, hide: HideName
) -> EvaluationInput:
    """Read the input files, and hide likes.

    Args:
        items: the file of items.
        interactions: the file of interactions.
        options: how its rows are read.
        hide: which likes are hidden: the newest ones of each person, or all from one time on.

    Raises:
        EvaluationError: lines are invalid, there are no items, or no likes can be hidden.
    """
    item_ids = read_item_ids(items)
    known_ids = frozenset(item_ids)
    rows = _read_with_progress(interactions, options)
    if hide == "cut" and not _have_times(rows):
        raise EvaluationError(f"{interactions}: a cut in time needs a column with times")
    usable = [row for row in rows if row.item_id in known_ids]
    if not usable:
        raise EvaluationError(f"{interactions} has no interactions with the items of {items}")
    usable.sort(key=lambda row: row.time_us)
    likes = _collect_likes(usable)
    split, people = _split_likes(interactions, likes, hide)
    summary = SplitSummary(
        kind=hide,
        like_count=sum(map(len, split.visible.values())),
        cut_time=None if split.cut_time_us is None else _format_time(split.cut_time_us),
        unmeasured_people=len(split.hidden) - len(people),
        people_with_few_likes=len(likes) - len(split.hidden) if hide == "newest" else 0,
        unsampled_people=max(len(people) - MAX_TESTED_PEOPLE, 0),
        unknown_items=len(rows) - len(usable),
    )
    others = _select_visible_others(usable, likes, split)
    people = choose_evenly(people, MAX_TESTED_PEOPLE)
    return EvaluationInput(items, item_ids, people, split.visible, others, summary)


def _read_with_progress(path: Path, options: RowOptions) -> list[TimedInteraction]:
    """Return the interactions of a file, and show how much of it is read."""
    rows: list[TimedInteraction] = []
    size = path.stat().st_size if path.is_file() else None
    with console.show_bytes("interactions", size, "read") as bar:

        def show(byte_count: int) -> None:
            bar.update(bar.task_ids[0], advance=byte_count, done=len(rows))

        rows.extend(_read_interactions(path, options, show))
        show(0)
    return rows


def _have_times(rows: Sequence[TimedInteraction]) -> bool:
    """Has any row a time? The time of a row without one is its position in microseconds."""
    return any(row.time_us > len(rows) for row in rows)


def _read_interactions(
    path: Path, options: RowOptions, on_bytes: Callable[[int], object]
) -> Iterator[TimedInteraction]:
    """Yield the interactions of a file.

    Args:
        path: the file.
        options: how its rows are read.
        on_bytes: receives the number of bytes that were read.

    Raises:
        EvaluationError: the file cannot be read, or lines are no interactions.
    """
    invalid = InvalidLines(path)
    try:
        records = open_records(str(path), on_bytes, options.columns)
        table = TableOptions(options.interactions.columns)
        for number, value in map_rows(records, table, options.interactions, _report):
            if isinstance(value, LineError):
                invalid.add(number, value)
            elif not isinstance(value, akin.Interaction):
                invalid.add(number, "not an interaction")
            elif value.type not in DEFAULT_TYPE_WEIGHTS:
                invalid.add(number, f"type: must be {', '.join(DEFAULT_TYPE_WEIGHTS)}")
            else:
                yield TimedInteraction(
                    value.user_id, value.item_id, value.time.ToMicroseconds(), value.type
                )
    except FileError as exc:
        invalid.check(f"{path}: {exc}")
    invalid.check()


def _report(lines: str) -> None:
    console.err.print(lines, soft_wrap=True)


def _collect_likes(interactions: Collection[TimedInteraction]) -> LikeLists:
    """Return the first like of each person and item; a later one would be no prediction."""
    likes: dict[str, dict[str, TimedLike]] = defaultdict(dict)
    for user_id, item_id, time_us, type_ in interactions:
        if _is_like(type_):
            likes[user_id].setdefault(item_id, TimedLike(item_id, time_us, type_))
    return {user_id: list(person_likes.values()) for user_id, person_likes in likes.items()}


def _split_likes(
    path: Path, likes: LikeLists, hide: HideName
) -> tuple[LikeSplit, Sequence[Person]]:
    """Return the split, and the people with both visible and hidden likes.

    Raises:
        EvaluationError: there are none, or the likes cannot be split.
    """
    try:
        split = _SPLITS[hide](likes)
    except ValueError as exc:
        raise EvaluationError(f"{path}: {exc}") from None
    people = _list_people(split)
    if not people:
        raise EvaluationError(f"{path} has nobody with likes before and after the split")
    return split, people


def _list_people(split: LikeSplit) -> list[Person]:
    """Return the people with both visible and hidden likes."""
    return [
        Person(user_id, [like.item_id for like in split.visible[user_id]], held_out)
        for user_id, held_out in split.hidden.items()
        if user_id in split.visible
    ]


def _select_visible_others(
    interactions: Collection[TimedInteraction], likes: LikeLists, split: LikeSplit
) -> Sequence[TimedInteraction]:
    """Return the interactions that are no likes, of each person those before the hidden likes."""
    ends_us = {
        user_id: min(like.time_us for like in likes[user_id] if like.item_id in hidden)
        for user_id, hidden in split.hidden.items()
    }
    return [
        interaction
        for interaction in interactions
        if not _is_like(interaction.type)
        and _is_before(interaction.time_us, split.cut_time_us)
        and _is_before(interaction.time_us, ends_us.get(interaction.user_id))
    ]


def _is_like(type_: str) -> bool:
    return DEFAULT_TYPE_WEIGHTS[type_] >= MIN_LIKE_WEIGHT


def _is_before(time_us: int, end_us: int | None) -> bool:
    return end_us is None or time_us < end_us


def _format_time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / _US_PER_SECOND, UTC).isoformat(timespec="seconds")
