"""Items and users of the files that `akin import` reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import akin
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from service.cli.field_names import ITEM_FIELDS, USER_FIELDS, suggest
from service.cli.formats.rows import LineError
from service.cli.interaction_fields import is_interaction
from service.domain import limits

# The server ends an import with a larger message. The name of the catalog needs a part of it.
MAX_MESSAGE_BYTES = limits.MESSAGE_BYTES - 1024

REQUIRED_FIELDS = {"id", "text", "user_id", "item_id"}


def _check_weight(value: object) -> object:
    if value == 0 and not isinstance(value, bool):
        raise PydanticCustomError("zero_weight", "must not be 0")
    return value


# Plainer words for errors of pydantic.
_MESSAGES = {
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "missing": "is required",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "float_type": "must be a number",
    "timezone_aware": "must have a time zone, as in 2030-01-31T00:00:00Z",
}

# The contract cannot tell 0 from an unset weight, which means 1.
Weight = Annotated[float, BeforeValidator(_check_weight)]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ItemLine(_Line):
    """An item."""

    id: str
    text: str
    attributes: dict[str, JsonValue] = {}
    expire_time: Annotated[AwareDatetime | None, Field(strict=False)] = None
    vectors: list[list[float]] = []

    def to_message(self) -> akin.Item:
        """Return the item as a message.

        Raises:
            ValueError: a value cannot be represented in a message.
        """
        expire_time: datetime | None = self.expire_time
        return akin.item(self.id, self.text, self.attributes, expire_time, self.vectors)


class PreferenceLine(_Line):
    """A preference of a user."""

    text: str
    weight: Weight = 1.0


class LikedItemLine(_Line):
    """An item that a user liked."""

    item_id: str
    weight: Weight = 1.0


def _expand_text(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


def _expand_id(value: object) -> object:
    return {"item_id": value} if isinstance(value, str) else value


class UserLine(_Line):
    """A user; `liked_items` is another name for `liked`."""

    user_id: str
    preferences: list[Annotated[PreferenceLine, BeforeValidator(_expand_text)]] = []
    liked: list[Annotated[LikedItemLine, BeforeValidator(_expand_id)]] = []

    def to_message(self) -> akin.User:
        """Return the user as a message.

        Raises:
            ValueError: a value cannot be represented in a message.
        """
        return akin.User(
            user_id=self.user_id,
            preferences=[
                akin.Preference(text=preference.text, weight=preference.weight)
                for preference in self.preferences
            ],
            liked_items=[
                akin.LikedItem(item_id=liked.item_id, weight=liked.weight) for liked in self.liked
            ],
        )


def parse_line(value: object, *, ignore_unknown: bool = False) -> ItemLine | UserLine:
    """Return the item or user of a JSON value; a user has a `user_id` and no text.

    Args:
        value: the JSON value of a line.
        ignore_unknown: ignore fields that neither items nor users have.

    Raises:
        LineError: the value is not an item or a user; the message names every wrong field.
    """
    if not isinstance(value, dict):
        raise LineError("not a JSON object")
    if is_interaction(value):
        raise LineError("an interaction (user and item), not an item or a user")
    _check_wrapping(value)
    # Optional fields that are null are unset.
    fields = {
        name: child for name, child in value.items() if child is not None or name in REQUIRED_FIELDS
    }
    if "user_id" in fields and not {"id", "text"} & fields.keys():
        return _validate(UserLine, _join_liked(fields), ignore_unknown=ignore_unknown)
    return _validate(ItemLine, fields, ignore_unknown=ignore_unknown)


def _check_wrapping(value: Mapping[str, Any]) -> None:
    """Check that an object is not only a wrapping of others, such as {"items": [...]}."""
    if not value.keys() & {"id", "text", "user_id"}:
        for name, child in value.items():
            if isinstance(child, list) and child and isinstance(child[0], dict):
                raise LineError(f"{name}: a list of objects; the file must contain only the list")


def to_message(line: ItemLine | UserLine) -> akin.Item | akin.User:
    """Return the message of an item or user.

    Raises:
        LineError: a value cannot be represented in a message, or the message is too large to send.
    """
    try:
        message = line.to_message()
    except ValueError as exc:
        raise LineError(str(exc)) from None
    if (size := message.ByteSize()) > MAX_MESSAGE_BYTES:
        raise LineError(
            f"{size:,} bytes as a message, and the server reads up to {MAX_MESSAGE_BYTES:,}"
        )
    return message


def _join_liked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a user with only one name for the liked items."""
    names = fields.keys() & {"liked", "liked_items"}
    if len(names) > 1:
        raise LineError("liked_items: the same as liked; use only one of them")
    joined = {"liked" if name == "liked_items" else name: fields[name] for name in fields}
    if not joined.keys() & {"preferences", "liked"}:
        unknown = [_describe_unknown(name, USER_FIELDS) for name in joined if name != "user_id"]
        raise LineError("; ".join([*unknown, "a user must have preferences or liked"]))
    return joined


def _validate(
    line_type: type[ItemLine | UserLine], fields: object, *, ignore_unknown: bool
) -> ItemLine | UserLine:
    extra: Literal["ignore", "forbid"] = "ignore" if ignore_unknown else "forbid"
    try:
        return line_type.model_validate(fields, extra=extra)
    except ValidationError as exc:
        problems = exc.errors(include_input=False, include_url=False)
        candidates = ITEM_FIELDS if line_type is ItemLine else USER_FIELDS
        raise LineError("; ".join(_describe(problem, candidates) for problem in problems)) from None


def _describe(problem: ErrorDetails, candidates: tuple[str, ...]) -> str:
    path = ".".join(map(str, problem["loc"]))
    if problem["type"] != "extra_forbidden":
        return f"{path}: {_MESSAGES.get(problem['type'], problem['msg'])}"
    if len(problem["loc"]) > 1:
        candidates = ("text", "weight", "item_id")
    return _describe_unknown(path, candidates)


def _describe_unknown(path: str, candidates: tuple[str, ...]) -> str:
    likely = suggest(path.rpartition(".")[2], candidates)
    if likely:
        return f"{path}: unknown field; did you mean {likely}?"
    hint = "; facts about an item belong in attributes" if candidates is ITEM_FIELDS else ""
    return f"{path}: unknown field{hint}"
