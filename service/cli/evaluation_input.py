"""Input of an evaluation: items, and people with visible and held-out likes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.cli.evaluation_errors import EvaluationError, InvalidLines
from service.cli.evaluation_splits import LikeLists, TimedLike
from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, LineError
from service.cli.import_lines import ItemLine, parse_line
from service.domain.users import LikedItem, User
from service.domain.validation import user_violations

Line = TypeVar("Line", bound=BaseModel)


class PersonLine(BaseModel):
    """A person to recommend to: liked items, oldest first, and items that recommendations hit."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    user_id: str
    liked: Annotated[list[str], Field(min_length=1)]
    held_out: Annotated[frozenset[str], Field(strict=False)]

    def to_user(self) -> User:
        """Return the person as a user."""
        return User(self.user_id, liked_items=tuple(LikedItem(item_id) for item_id in self.liked))


@dataclass(frozen=True, slots=True)
class Person:
    """A person to recommend to.

    Attributes:
        user_id: the id of the user.
        liked: the visible likes, oldest first.
        held_out: the items that recommendations hit.
    """

    user_id: str
    liked: Sequence[str]
    held_out: frozenset[str]


class TimedInteraction(NamedTuple):
    """An interaction; `time_us` is in microseconds since 1970."""

    user_id: str
    item_id: str
    time_us: int
    type: str


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """How likes were divided into visible and held-out ones, with the field names of --json.

    Attributes:
        kind: `held_out` by the file of people, `newest` or `cut`.
        like_count: the number of visible likes, of all people.
        cut_time: all held-out likes are from this time on, in ISO 8601; None without a common time.
        unmeasured_people: the number of people with held-out, but without visible likes.
        people_with_few_likes: the number of people with too few likes to hold any out.
        unsampled_people: the number of people who could be measured, but are not in the sample.
        unknown_items: the number of interactions with items that are not in the file of items.
    """

    kind: str
    like_count: int
    cut_time: str | None = None
    unmeasured_people: int = 0
    people_with_few_likes: int = 0
    unsampled_people: int = 0
    unknown_items: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """Input of an evaluation.

    Attributes:
        items: the file of items.
        item_ids: their ids.
        people: those to recommend to.
        likes: the visible likes of all people, also of those that nothing is recommended to.
        others: the visible interactions that are no likes.
        split: how the likes were divided.
    """

    items: Path
    item_ids: Sequence[str]
    people: Sequence[Person]
    likes: LikeLists
    others: Sequence[TimedInteraction]
    split: SplitSummary


def read_input(items: Path, users: Path) -> EvaluationInput:
    """Read the input files.

    Raises:
        EvaluationError: lines are invalid, there are no items, or nobody has held-out items.
    """
    item_ids, lines = read_item_ids(items), _read_people(users)
    # The lists have no times; their order is that of the places.
    likes = {
        line.user_id: [TimedLike(item_id, place) for place, item_id in enumerate(line.liked, 1)]
        for line in lines
    }
    people = [Person(line.user_id, line.liked, line.held_out) for line in lines]
    split = SplitSummary("held_out", sum(map(len, likes.values())))
    return EvaluationInput(items, item_ids, people, likes, (), split)


def read_item_ids(path: Path) -> Sequence[str]:
    """Return the ids of a file of items.

    Raises:
        EvaluationError: lines are no items, or there are none.
    """
    ids = dict.fromkeys(
        item.id for item in _parse_lines(path, _parse_item, {"id", "text", "expire_time"})
    )
    if not ids:
        raise EvaluationError(f"{path} has no items")
    return list(ids)


def _parse_item(value: object) -> ItemLine:
    item = parse_line(value)
    if not isinstance(item, ItemLine):
        raise LineError("not an item")
    return item


def _read_people(path: Path) -> Sequence[PersonLine]:
    people: dict[str, PersonLine] = {}

    def parse(value: object) -> PersonLine:
        person = _parse_person(value)
        if person.user_id in people:
            raise LineError(f"user_id: {person.user_id} is in an earlier line too")
        return people.setdefault(person.user_id, person)

    lines = list(_parse_lines(path, parse))
    if not any(person.held_out for person in lines):
        raise EvaluationError(f"{path} has no people with held-out items")
    return lines


def _parse_person(value: object) -> PersonLine:
    try:
        person = PersonLine.model_validate(value)
    except ValidationError as exc:
        (error, *_) = exc.errors(include_input=False, include_url=False)
        field = "".join(f"{part}: " for part in error["loc"])
        raise LineError(f"{field}{error['msg']}") from None
    for violation in user_violations(person.to_user(), "user"):
        raise LineError(f"{violation.field}: {violation.description}")
    return person


def _parse_lines(
    path: Path, parse: Callable[[object], Line], columns: Collection[str] = ()
) -> Iterator[Line]:
    """Yield what the lines of a file hold.

    Args:
        path: the file.
        parse: returns what a JSON value holds, or raises LineError.
        columns: the columns that a table can have.

    Raises:
        EvaluationError: the file cannot be read, lines are invalid, or it is another table.
    """
    if not path.is_file():
        raise EvaluationError(f"{path} must be a file, not a pipe, because it is read twice")
    invalid = InvalidLines(path)
    try:
        records = open_records(str(path))
        if not set(records.columns or ()) <= set(columns):
            raise EvaluationError(f"{path} is a table; convert it to JSON lines")
        for number, value in records.rows:
            try:
                if isinstance(value, LineError):
                    raise value
                line = parse(value)
            except LineError as exc:
                invalid.add(number, exc)
            else:
                yield line
    except FileError as exc:
        invalid.check(f"{path}: {exc}")
    invalid.check()
