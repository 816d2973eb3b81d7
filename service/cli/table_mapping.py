"""Turns rows of a table into items: which columns are the id, the text and the attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from service.cli.cell_types import CellType, convert_cell, infer_type
from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import FileError, LineError, Records, Row
from service.cli.table_columns import describe_columns, list_columns, require_column, take_sample

_ITEM_FIELDS = ("id", "text", "expire_time", "vectors")

# The column whose lists are the vectors of items, instead of being an attribute.
_VECTORS = "vectors"

# The column whose objects contain attributes, instead of being an attribute.
_ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class TableOptions:
    """The options of a mapping.

    Attributes:
        columns: the column of a field; the fields id, text, expire_time and vectors, or an
            attribute.
        template: the text of an item, with names of columns in braces; empty for a column.
        separators: columns whose cells are lists, with the separator of the values.
        text_columns: columns whose values are stored as text.
        ignore_unnamed: drop columns without a name.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    separators: Mapping[str, str] = field(default_factory=dict)
    text_columns: frozenset[str] = frozenset()
    ignore_unnamed: bool = False

    def is_set(self) -> bool:
        """Is there an option that only makes sense for a table?"""
        return bool(self.columns or self.template or self.separators or self.text_columns)

    def get_item_options(self) -> list[str]:
        """Return the options that only make sense for items."""
        given = {
            "--map id": "id" in self.columns,
            "--map text": "text" in self.columns,
            "--template": self.template,
            "--split": self.separators,
            "--as-text": self.text_columns,
        }
        return [option for option, value in given.items() if value]


class TableMapping:
    """Maps rows of a table to the JSON objects of items.

    Args:
        records: the rows; JSON objects count as rows too.
        options: options of the user.

    Raises:
        FileError: the table has no column for the id or the text, or not the columns of an option.
    """

    def __init__(self, records: Records, options: TableOptions) -> None:
        self._options = options
        self._records = records
        self._sample = take_sample(records.rows)
        sample = [row.value for row in self._sample if isinstance(row.value, dict)]
        self._columns = list_columns(records.columns, sample)
        self._parts = re.split(r"\{([^{}]*)\}", options.template)
        self._fields = self._assign_columns()
        self._types = {
            column: infer_type(self._split_cells(column, sample))
            for column in self._columns
            if records.is_text and column not in options.text_columns
        }
        self._has_objects = self._find_objects(sample)
        self._has_vectors = not self._is_attribute(self._fields.get(_VECTORS))

    def describe(self) -> str:
        """Return the attributes and their types, and the column of vectors, in one line."""
        names = []
        for name, column in self._fields.items():
            if name == _ATTRIBUTES and self._has_objects:
                names.append(f"those of the column {column}")
            elif name not in _ITEM_FIELDS or (name == _VECTORS and not self._has_vectors):
                cell_type = self._types.get(column, CellType.TEXT).value
                in_list = (
                    f"list of {cell_type}" if column in self._options.separators else cell_type
                )
                names.append(f"{name} ({in_list})" if self._records.is_text else name)
        attributes = f"attributes: {', '.join(names) or 'none'}"
        vectors = self._fields.get(_VECTORS)
        return (
            f"{attributes}; vectors from {vectors}" if vectors and self._has_vectors else attributes
        )

    def rows(self) -> Iterator[Row]:
        """Yield the rows as JSON objects of items, or with their errors."""
        for row in chain(self._sample, self._records.rows):
            if not isinstance(row.value, dict):
                yield row
                continue
            try:
                yield Row(row.number, self._map(row.value))
            except LineError as exc:
                yield Row(row.number, exc)

    def _assign_columns(self) -> dict[str, str]:
        """Return the column of each field and attribute.

        Raises:
            FileError: a required column is missing, or a field has two columns.
        """
        self._check_options()
        fields = dict(self._options.columns)
        for name in _ITEM_FIELDS:
            if name in self._columns and not (name == "text" and self._options.template):
                fields.setdefault(name, name)
        self._require_item_columns(fields)
        used = {*self._parts[1::2], *fields.values()}
        for column in self._columns:
            if column in used:
                continue
            if column in fields:
                raise FileError(f"--map {column}={fields[column]}: there is a column {column} too")
            if column:
                fields[column] = column
            elif not self._options.ignore_unnamed:
                raise FileError("a column has no name; name it, or use --ignore-unknown to drop it")
        return fields

    def _require_item_columns(self, fields: Mapping[str, str]) -> None:
        listed = describe_columns(self._columns)
        if "id" not in fields and "user_id" in self._columns:
            raise FileError("a table contains items; import users as JSON lines")
        if "id" not in fields:
            raise FileError(f"no column is named id; choose one with --map id=COLUMN: {listed}")
        if "text" not in fields and not self._options.template:
            raise FileError(
                "no column is named text; choose one with --map text=COLUMN, or several with "
                f'--template "{{COLUMN}}. {{COLUMN}}": {listed}'
            )

    def _check_options(self) -> None:
        options = self._options
        if options.template and len(self._parts) == 1:
            raise FileError("--template must contain the name of a column in braces")
        if options.template and "text" in options.columns:
            raise FileError("--template and --map text=... exclude each other")
        for option, columns in (
            ("--map", options.columns.values()),
            ("--template", self._parts[1::2]),
            ("--split", options.separators),
            ("--as-text", options.text_columns),
        ):
            for column in columns:
                require_column(option, column, self._columns)

    def _find_objects(self, sample: Sequence[Mapping[str, Any]]) -> bool:
        """Does the table have a column of attributes whose cells are JSON objects in text?"""
        column = self._fields.get(_ATTRIBUTES)
        if column is None or self._is_attribute(column):
            return False
        cells = [row[column] for row in sample if row.get(column)]
        return bool(cells) and all(map(_is_object, cells))

    def _is_attribute(self, column: str | None) -> bool:
        """Is a column an attribute whatever its name is, because of an option for attributes?"""
        return column in self._options.text_columns or column in self._options.separators

    def _split_cells(self, column: str, sample: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Yield the values of a column of text, of which a cell can contain several."""
        separator = self._options.separators.get(column)
        for row in sample:
            yield from _split(row[column], separator) if separator else [row[column]]

    def _map(self, row: Mapping[str, Any]) -> dict[str, object]:
        """Return the JSON object of an item.

        Raises:
            LineError: a cell does not fit the type of its column, or there is no text.
        """
        item: dict[str, object] = {}
        attributes: dict[str, object] = {}
        nested: Mapping[str, object] = {}
        for name, column in self._fields.items():
            value = row.get(column)
            if name in {"id", "text"}:
                item[name] = _to_text(value)
            elif value is None or value == "":
                continue
            elif name == "expire_time":
                item[name] = value
            elif name == _VECTORS and self._has_vectors:
                item[name] = _decode(value, name)
            elif name == _ATTRIBUTES and (self._has_objects or isinstance(value, dict)):
                nested = _to_object(value)
            else:
                attributes[name] = self._convert(value, column)
        if self._options.template:
            parts = list(self._parts)
            values = [_to_text(row.get(column)) for column in parts[1::2]]
            if not any(map(str.strip, values)):
                raise LineError("text: the columns of the template are empty")
            parts[1::2] = values
            item["text"] = "".join(parts).strip()
        _merge(attributes, nested)
        return {**item, "attributes": attributes}

    def _convert(self, value: object, column: str) -> object:
        separator = self._options.separators.get(column)
        if separator and isinstance(value, str):
            return [self._convert_cell(part, column) for part in _split(value, separator)]
        return self._convert_cell(value, column)

    def _convert_cell(self, value: object, column: str) -> object:
        if column in self._options.text_columns:
            return _to_text(value)
        if isinstance(value, str) and column in self._types:
            return convert_cell(value, self._types[column], column)
        return value


def _is_object(value: object) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] == "{" and value.rstrip()[-1:] == "}"


def _to_object(value: object) -> Mapping[str, object]:
    """Return the object of attributes that a cell contains.

    Raises:
        LineError: it contains something else.
    """
    decoded = _decode(value, _ATTRIBUTES)
    if not isinstance(decoded, dict):
        raise LineError(f"{_ATTRIBUTES}: must be a JSON object, as in the first rows")
    return decoded


def _decode(value: object, name: str) -> object:
    """Return the JSON value of a cell, which is text in CSV; other values are JSON values already.

    Raises:
        LineError: the text is not JSON; the error names the field.
    """
    if not isinstance(value, str):
        return value
    try:
        return JsonDecoder().decode(value)
    except LineError as exc:
        raise LineError(f"{name}: {exc}") from None


def _merge(attributes: dict[str, object], more: Mapping[str, object]) -> None:
    """Add the attributes of an object, which JSON objects and columns of Parquet can contain.

    Raises:
        LineError: an attribute is a column too.
    """
    for name, value in more.items():
        if name in attributes:
            raise LineError(f"attributes.{name}: there is a column {name} too")
        attributes[name] = value


def _split(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _to_text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case list():
            return ", ".join(map(_to_text, value))
        case _:
            return json.dumps(value, ensure_ascii=False)
