"""Input files of an evaluation: items, and people with held-out items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.cli.formats.detection import open_records
from service.cli.formats.rows import FileError, LineError
from service.cli.import_lines import ItemLine, parse_line
from service.domain.users import LikedItem, User
from service.domain.validation import user_violations


class EvaluationError(Exception):
    """The input cannot be evaluated; the message says why."""


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
class EvaluationInput:
    """Input of an evaluation: a file of items, their ids, and people."""

    items: Path
    item_ids: Sequence[str]
    people: Sequence[PersonLine]


def read_input(items: Path, users: Path) -> EvaluationInput:
    """Read the input files.

    Raises:
        EvaluationError: a line is invalid, there are no items, or nobody has held-out items.
    """
    return EvaluationInput(items, _read_item_ids(items), _read_people(users))


def _read_item_ids(path: Path) -> Sequence[str]:
    ids: dict[str, None] = {}
    for number, value in _read_values(path):
        try:
            item = parse_line(value)
        except LineError as exc:
            raise EvaluationError(f"{path}, line {number}: {exc}") from None
        if not isinstance(item, ItemLine):
            raise EvaluationError(f"{path}, line {number}: not an item")
        ids[item.id] = None
    if not ids:
        raise EvaluationError(f"{path} has no items")
    return list(ids)


def _read_people(path: Path) -> Sequence[PersonLine]:
    people: dict[str, PersonLine] = {}
    for number, value in _read_values(path):
        try:
            person = PersonLine.model_validate(value)
        except ValidationError as exc:
            (error, *_) = exc.errors(include_input=False, include_url=False)
            field = "".join(f"{part}: " for part in error["loc"])
            raise EvaluationError(f"{path}, line {number}: {field}{error['msg']}") from None
        if person.user_id in people:
            raise EvaluationError(
                f"{path}, line {number}: user_id: {person.user_id} is in an earlier line too"
            )
        for violation in user_violations(person.to_user(), "user"):
            raise EvaluationError(
                f"{path}, line {number}: {violation.field}: {violation.description}"
            )
        people[person.user_id] = person
    if not any(person.held_out for person in people.values()):
        raise EvaluationError(f"{path} has no people with held-out items")
    return list(people.values())


def _read_values(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the JSON values of a file with their line numbers.

    Raises:
        EvaluationError: the file cannot be read, or a line is not JSON.
    """
    if not path.is_file():
        raise EvaluationError(f"{path} must be a file, not a pipe, because it is read twice")
    try:
        for number, value in open_records(str(path)).rows:
            if isinstance(value, LineError):
                raise EvaluationError(f"{path}, line {number}: {value}")
            yield number, value
    except FileError as exc:
        raise EvaluationError(f"{path}: {exc}") from None
