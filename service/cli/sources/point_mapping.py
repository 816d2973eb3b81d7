"""Turns points of other vector stores into items: which fields are the text and the attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from service.cli.analysis_output import format_count
from service.cli.formats.python_values import to_json_value
from service.cli.formats.rows import FileError, LineError, Row
from service.cli.table_columns import require_column

# Usual names of the field with the text, in the order in which they are tried.
_TEXT_FIELDS = ("text", "page_content", "document", "content", "chunk", "body")

# Points whose fields are compared with the options.
_SAMPLE_POINTS = 100


class SourcePoint(NamedTuple):
    """A point of a collection, or a row of a table.

    Attributes:
        point_id: its id; None if only a field can contain it.
        fields: its payload, metadata or other columns.
        vectors: its vectors, if they were read.
    """

    point_id: object
    fields: Mapping[str, object]
    vectors: Sequence[Sequence[float]] = ()


class PointMapping:
    """Maps points to the JSON objects of items.

    Args:
        points: the points.
        columns: the fields for `id`, `text`, `expire_time`, `attributes` (an object whose entries
            become attributes) or for an attribute. All other fields become attributes.
        template: the text of an item, with names of fields in braces; empty for a field.
        dimensions: of the catalog that gets the vectors of the points, if they were read.

    Raises:
        FileError: no field can be the text, a field of an option does not exist, or the vectors do
            not fit the catalog.
    """

    def __init__(
        self,
        points: Iterator[SourcePoint],
        columns: Mapping[str, str],
        template: str,
        dimensions: int | None = None,
    ) -> None:
        self._sample = list(islice(points, _SAMPLE_POINTS))
        self._points = points
        self._parts = re.split(r"\{([^{}]*)\}", template)
        self._columns = dict(columns)
        names = list(dict.fromkeys(chain.from_iterable(point.fields for point in self._sample)))
        if self._sample:
            self._choose_columns(names)
        if dimensions is not None:
            self._check_vectors(dimensions)
        self._used = {*self._columns.values(), *self._parts[1::2]}

    def describe(self) -> str:
        """Return where ids and texts come from, in one line."""
        text = self._columns.get("text") or "the template"
        return f"id from {self._columns.get('id', 'the point')}, text from {text}"

    def rows(self) -> Iterator[Row]:
        """Yield the points as JSON objects of items, or with their errors."""
        for number, point in enumerate(chain(self._sample, self._points), start=1):
            try:
                yield Row(number, self._map(point))
            except LineError as exc:
                yield Row(number, exc)

    def _choose_columns(self, names: Sequence[str]) -> None:
        for option, columns in (
            ("--map", self._columns.values()),
            ("--template", self._parts[1::2]),
        ):
            for column in columns:
                require_column(option, column, names)
        if len(self._parts) > 1:
            if "text" in self._columns:
                raise FileError("--template and --map text=... exclude each other")
        elif "text" not in self._columns:
            usual = [name for name in _TEXT_FIELDS if name in names]
            if not usual:
                raise FileError(
                    f"no field is the text; choose one with --map text=FIELD: {', '.join(names)}"
                )
            self._columns["text"] = usual[0]
        if "id" not in self._columns and self._sample[0].point_id is None:
            raise FileError(
                f"no column is named id; choose one with --map id=COLUMN: {', '.join(names)}"
            )

    def _check_vectors(self, dimensions: int) -> None:
        for point in self._sample:
            for vector in point.vectors:
                if len(vector) != dimensions:
                    values = format_count(len(vector), "value")
                    raise FileError(
                        f"the vectors have {values}, and those of the catalog {dimensions}: they "
                        "belong to another model. Import without --vectors, or into a catalog with "
                        "the model of the vectors"
                    )

    def _map(self, point: SourcePoint) -> dict[str, object]:
        """Return the JSON object of an item.

        Raises:
            LineError: there is no id or text, two fields are one attribute, or JSON lacks a value.
        """
        fields = {name: to_json_value(value, name) for name, value in point.fields.items()}
        id_column = self._columns.get("id")
        item_id = fields.get(id_column) if id_column else point.point_id
        if item_id is None:
            raise LineError("id: there is none")
        item: dict[str, object] = {"id": str(item_id), "text": self._build_text(fields)}
        if point.vectors:
            item["vectors"] = [[*map(float, vector)] for vector in point.vectors]
        attributes: dict[str, object] = {}
        for name, column in self._columns.items():
            value = fields.get(column)
            if name in {"id", "text"} or value is None:
                continue
            if name == "expire_time":
                item[name] = value
            elif name == "attributes":
                _add(attributes, _require_object(value, column))
            else:
                _add(attributes, {name: value})
        rest = {name: value for name, value in fields.items() if name not in self._used}
        _add(attributes, rest)
        return {**item, "attributes": attributes}

    def _build_text(self, fields: Mapping[str, object]) -> str:
        if len(self._parts) == 1:
            text = fields.get(self._columns["text"])
            if not isinstance(text, str):
                raise LineError(f"{self._columns['text']}: there is no text")
            return text
        values = [
            "" if (value := fields.get(name)) is None else value for name in self._parts[1::2]
        ]
        if not any(str(value).strip() for value in values):
            raise LineError("text: the fields of the template are empty")
        parts = list(self._parts)
        parts[1::2] = map(str, values)
        return "".join(parts).strip()


def _add(attributes: dict[str, object], more: Mapping[str, object]) -> None:
    for name, value in more.items():
        if value is None:
            continue
        if name in attributes:
            raise LineError(f"attributes.{name}: two fields have this name")
        attributes[name] = value


def _require_object(value: object, column: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise LineError(f"{column}: --map attributes={column} needs an object")
    return value
