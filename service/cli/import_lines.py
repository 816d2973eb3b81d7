"""The JSONL lines that `akin import` reads: items and users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import akin
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from service.domain import limits

LINE_BYTES = limits.MESSAGE_BYTES // 2
"""Surely fits into a message; an item that keeps its limits is far shorter."""


class LineError(Exception):
    """A line is not what it should be; the message tells in which field."""


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ItemLine(_Line):
    """An item to store."""

    id: str
    text: str
    attributes: dict[str, JsonValue] = {}
    expire_time: Annotated[AwareDatetime | None, Field(strict=False)] = None

    def message(self) -> akin.Item:
        """The item as the client takes it."""
        expire_time: datetime | None = self.expire_time
        return akin.item(self.id, self.text, self.attributes, expire_time)


class PreferenceLine(_Line):
    """One taste of a user."""

    text: str
    weight: float = 1.0


class UserLine(_Line):
    """A user to store."""

    user_id: str
    preferences: list[PreferenceLine] = []
    liked: list[str] = []

    def upsert(self, client: akin.Client) -> None:
        """Stores the user."""
        preferences = [
            akin.Preference(text=each.text, weight=each.weight) for each in self.preferences
        ]
        client.upsert_user(self.user_id, preferences, self.liked)


def parse(line: bytes) -> ItemLine | UserLine:
    """Reads one line; what has a `user_id` is a user.

    Raises:
        LineError: it is not JSON, or not an item or user.
    """
    if len(line) > LINE_BYTES:
        raise LineError(f"longer than {LINE_BYTES} bytes")
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as exc:
        raise LineError(f"not JSON: {exc}") from None
    if not isinstance(value, dict):
        raise LineError("not a JSON object")
    kind = UserLine if "user_id" in value else ItemLine
    try:
        return kind.model_validate(value)
    except ValidationError as exc:
        problems = (
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in exc.errors(include_input=False, include_url=False)
        )
        raise LineError("; ".join(problems)) from None
