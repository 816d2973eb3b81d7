"""Rows that `akin export` writes: the items, users and interactions of a catalog, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import akin
import numpy as np
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from service.cli.entry_output import list_pages
from service.cli.json_numbers import to_json_number

# Whose vectors are exported: of no item, of items whose caller gave them, or of all items.
VectorChoice = Literal["none", "own", "all"]

KindName = Literal["items", "users", "interactions"]
KINDS: tuple[KindName, ...] = get_args(KindName)

# Of the fields that `akin import` reads, in the order of the columns of a table.
COLUMNS: dict[KindName, tuple[str, ...]] = {
    "items": ("id", "text", "attributes", "expire_time"),
    "users": ("user_id", "preferences", "liked"),
    "interactions": ("user_id", "item_id", "type", "value", "time", "interaction_id"),
}
RECOMMENDATION_ID = "recommendation_id"

PAGE_ROWS = 1_000

ExportRow = dict[str, Any]


class ExportPage(NamedTuple):
    """A page of a list.

    Attributes:
        rows: the rows by column; values are JSON values, or times in UTC. None is an unset field.
        total: the number of rows on all pages.
    """

    rows: list[ExportRow]
    total: int


class ExportReader:
    """Reads the rows of a catalog.

    Args:
        client: client of the catalog.
        with_recommendation_ids: include the recommendation_id of interactions.
        vectors: the items whose vectors to include.

    Attributes:
        with_recommendation_ids: as given.
        omitted_recommendation_ids: number of interactions whose recommendation_id was left out.
        omitted_own_vectors: number of items whose vectors were left out although their caller gave
            them, so that they cannot be made again.
    """

    def __init__(
        self, client: akin.Client, *, with_recommendation_ids: bool, vectors: VectorChoice = "none"
    ) -> None:
        self._client = client
        self._vectors = vectors
        self._last_page_has_own_vectors = False
        self.omitted_own_vectors = 0
        self.with_recommendation_ids = with_recommendation_ids
        self.omitted_recommendation_ids = 0

    def read(self, kind: KindName) -> Iterator[ExportPage]:
        """Yield the pages of one kind, in the order in which the server lists it.

        Raises:
            AkinError: a call failed.
        """
        readers: dict[KindName, Callable[[], Iterator[ExportPage]]] = {
            "items": self._read_items,
            "users": self._read_users,
            "interactions": self._read_interactions,
        }
        return readers[kind]()

    def _read_items(self) -> Iterator[ExportPage]:
        for page in list_pages(self._list_items):
            yield ExportPage([self._build_item(item) for item in page.items], page.total_size)

    def _list_items(self, token: str) -> akin.ListItemsResponse:
        """Return a page of items, with their vectors if one of them has some to export.

        Vectors are larger than texts. A page without them says whether they are needed, and the
        page after one that needed them probably needs them too.
        """
        with_vectors = self._vectors == "all" or self._last_page_has_own_vectors
        page = self._client.list_items(PAGE_ROWS, token, include_vectors=with_vectors)
        if self._vectors == "own" and not with_vectors and _has_own_vectors(page):
            page = self._client.list_items(PAGE_ROWS, token, include_vectors=True)
        self._last_page_has_own_vectors = self._vectors == "own" and _has_own_vectors(page)
        return page

    def _build_item(self, item: akin.Item) -> ExportRow:
        row: ExportRow = {
            "id": item.item_id,
            "text": item.text,
            "attributes": _to_object(item.attributes),
            "expire_time": _to_time(item.expire_time) if item.HasField("expire_time") else None,
        }
        if self._vectors == "none":
            self.omitted_own_vectors += item.has_own_vectors
        elif item.vectors and (self._vectors == "all" or item.has_own_vectors):
            row["vectors"] = [_shorten(vector.values) for vector in item.vectors]
        return row

    def _read_users(self) -> Iterator[ExportPage]:
        for page in list_pages(lambda token: self._client.list_users(PAGE_ROWS, token)):
            yield ExportPage([_build_user(user) for user in page.users], page.total_size)

    def _read_interactions(self) -> Iterator[ExportPage]:
        for page in list_pages(lambda token: self._client.list_interactions(PAGE_ROWS, token)):
            rows = [self._build_interaction(interaction) for interaction in page.interactions]
            yield ExportPage(rows, page.total_size)

    def _build_interaction(self, interaction: akin.Interaction) -> ExportRow:
        row: ExportRow = {
            "user_id": interaction.user_id,
            "item_id": interaction.item_id,
            "type": interaction.type,
            "value": interaction.value if interaction.HasField("value") else None,
            "time": _to_time(interaction.time),
            "interaction_id": interaction.interaction_id or None,
        }
        if self.with_recommendation_ids:
            row[RECOMMENDATION_ID] = interaction.recommendation_id or None
        elif interaction.recommendation_id:
            self.omitted_recommendation_ids += 1
        return row


def _to_json_value(value: Value) -> object:
    """Return a value of attributes; the JSON of the result is read back as the same value."""
    match value.WhichOneof("kind"):
        case "number_value":
            return to_json_number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _to_object(value.struct_value)
        case "list_value":
            return _to_list(value.list_value)
        case _:
            return None


def _to_object(struct: Struct) -> dict[str, object]:
    """Return an object with its keys in alphabetical order, because a message has no order."""
    return {key: _to_json_value(struct.fields[key]) for key in sorted(struct.fields)}


def _to_list(values: ListValue) -> list[object]:
    return [_to_json_value(value) for value in values.values]


def _to_time(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


def _has_own_vectors(page: akin.ListItemsResponse) -> bool:
    return any(item.has_own_vectors for item in page.items)


def _shorten(values: Sequence[float]) -> list[float]:
    """Return float32 numbers as doubles with the fewest digits that are read as the same float32.

    A double with all its digits takes twice as many characters.
    """
    exact = np.array(values, np.float32)
    short = np.array([float(str(value)) for value in exact])
    # Digits that are nearly between two float32 are first rounded to a double, then perhaps to the
    # other float32.
    numbers: list[float] = np.where(short.astype(np.float32) == exact, short, exact).tolist()
    return numbers


def _build_user(user: akin.User) -> ExportRow:
    return {
        "user_id": user.user_id,
        "preferences": [
            {"text": preference.text, "weight": to_json_number(preference.weight or 1.0)}
            for preference in user.preferences
        ],
        "liked": [
            {"item_id": liked.item_id, "weight": to_json_number(liked.weight or 1.0)}
            for liked in user.liked_items
        ],
    }
