"""Lines of the JSONL files that `akin import` reads: items and users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import akin
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from service.domain import limits

# Half of a message, so that a parsed line always fits into one. Valid items are far shorter.
MAX_LINE_BYTES = limits.MESSAGE_BYTES // 2


class LineError(Exception):
    """A line is invalid; the message names the fields."""


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ItemLine(_Line):
    """An item."""

    id: str
    text: str
    attributes: dict[str, JsonValue] = {}
    expire_time: Annotated[AwareDatetime | None, Field(strict=False)] = None

    def to_message(self) -> akin.Item:
        """Return the item as a message.

        Raises:
            ValueError: a value cannot be represented in a message.
        """
        expire_time: datetime | None = self.expire_time
        return akin.item(self.id, self.text, self.attributes, expire_time)


class PreferenceLine(_Line):
    """A preference of a user."""

    text: str
    weight: float = 1.0


class UserLine(_Line):
    """A user."""

    user_id: str
    preferences: list[PreferenceLine] = []
    liked: list[str] = []

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
            liked_items=[akin.LikedItem(item_id=item_id) for item_id in self.liked],
        )


def parse_line(line: bytes) -> ItemLine | UserLine:
    """Return the item or user of a line; a line with a `user_id` is a user.

    Raises:
        LineError: the line is too long, is not JSON, or is not an item or a user.
    """
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as exc:
        raise LineError(f"not JSON: {exc}") from None
    if not isinstance(value, dict):
        raise LineError("not a JSON object")
    line_type = UserLine if "user_id" in value else ItemLine
    try:
        return line_type.model_validate(value)
    except ValidationError as exc:
        problems = (
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise LineError("; ".join(problems)) from None
