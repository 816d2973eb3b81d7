"""Turns rows of files into messages of interactions: rows of a table, and JSON objects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain

from service.cli.analysis_output import format_names
from service.cli.field_names import suggest
from service.cli.formats.rows import FileError, LineError, Row
from service.cli.interaction_builder import InteractionBuilder, InteractionOptions, parse_value
from service.cli.interaction_fields import (
    INTERACTION_FIELDS,
    InteractionColumns,
    assign_columns,
    is_interaction,
    is_rating,
)
from service.cli.interaction_types import infer_rating_rule, make_scale_error
from service.cli.table_columns import describe_columns, require_column, take_sample

# Kinds of JSON objects whose fields are remembered; files have few.
_MAX_KINDS = 1_000


class InteractionTable:
    """Maps rows of a table to interactions; columns that are no field are ignored.

    Args:
        rows: the rows; JSON objects count as rows too.
        columns: the names of the columns.
        options: options of the user.

    Raises:
        FileError: the table has not the columns of interactions or of an option, or it has ratings
            of an unknown scale.
    """

    def __init__(
        self, rows: Iterator[Row], columns: Sequence[str], options: InteractionOptions
    ) -> None:
        self._names = columns
        self._options = options
        self._columns = self._assign_columns()
        self._builder = InteractionBuilder(options)
        sample = take_sample(rows)
        self._rows = chain(sample, rows)
        if self._builder.needs_rule(self._columns):
            self._infer_rule(sample)

    def describe(self) -> str:
        """Return how the rows are read, in a few lines."""
        lines = [f"interactions: {self._columns.describe()}"]
        if self._columns.type is None:
            rule = self._builder.rule
            type_ = self._options.default_type or (rule.describe() if rule else "unknown")
            lines.append(f"type: {type_}")
        if self._columns.time is None:
            lines.append("time: the order of the rows, from 1970-01-01T00:00:00Z on")
        if ignored := [name or "(no name)" for name in self._names if name not in self._columns]:
            lines.append(f"ignored {format_names('column', ignored)}")
        return "\n".join(lines)

    def rows(self) -> Iterator[Row]:
        """Yield the rows as messages of interactions, or with their errors."""
        for position, row in enumerate(self._rows, start=1):
            yield _build_row(self._builder, row, self._columns, position)

    def _assign_columns(self) -> InteractionColumns:
        chosen = self._options.columns
        for name, column in chosen.items():
            if name not in INTERACTION_FIELDS:
                raise FileError(
                    f"--map: an interaction has no field {name}; its fields are "
                    f"{', '.join(INTERACTION_FIELDS)}"
                )
            require_column("--map", column, self._names)
        columns = assign_columns(self._names, chosen)
        for name in ("user_id", "item_id"):
            if getattr(columns, name) is None:
                raise FileError(
                    f"no column is the {name}; choose one with --map {name}=COLUMN: "
                    f"{describe_columns(self._names)}"
                )
        if columns.type is None and columns.value is None and not self._options.default_type:
            raise FileError(
                "no column is the type or a rating; choose one with --map type=COLUMN or "
                "--map value=COLUMN, or one type for all rows with --type: "
                f"{describe_columns(self._names)}"
            )
        return columns

    def _infer_rule(self, sample: Iterable[Row]) -> None:
        column = self._columns.value
        assert column is not None  # noqa: S101  (_assign_columns requires it without a type)
        if not is_rating(column):
            raise make_scale_error(column)
        ratings = [rating for row in sample if (rating := _get_rating(row, column)) is not None]
        if ratings:
            self._builder.rule = infer_rating_rule(ratings, column, self._options.dislike_below)


class InteractionObjects:
    """Turns those JSON objects of a file into interactions that have a user and an item.

    Args:
        rows: the values of the file.
        options: options of the user.
        report: receives a line about the types of ratings once they are known.
    """

    def __init__(
        self, rows: Iterator[Row], options: InteractionOptions, report: Callable[[str], object]
    ) -> None:
        self._rows = rows
        self._options = options
        self._report = report
        self._builder = InteractionBuilder(options)
        self._following: deque[Row] = deque()
        self._kinds: dict[tuple[str, ...], InteractionColumns | LineError | None] = {}

    def rows(self) -> Iterator[Row]:
        """Yield the rows: interactions as messages, and others as they are.

        Raises:
            FileError: the scale of ratings is unknown.
        """
        position = 0
        while (row := self._take_row()) is not None:
            position += 1
            columns = self._get_columns(row.value)
            if columns is None:
                yield row
            elif isinstance(columns, LineError):
                yield Row(row.number, columns)
            else:
                if self._builder.needs_rule(columns):
                    self._infer_rule(row, columns)
                yield _build_row(self._builder, row, columns, position)

    def _take_row(self) -> Row | None:
        return self._following.popleft() if self._following else next(self._rows, None)

    def _get_columns(self, value: object) -> InteractionColumns | LineError | None:
        """Return the fields of an interaction, or what is wrong with them; None for others."""
        if not isinstance(value, dict):
            return None
        names = tuple(value)
        if names not in self._kinds:
            if len(self._kinds) >= _MAX_KINDS:
                self._kinds.clear()
            self._kinds[names] = self._assign_columns(names)
        return self._kinds[names]

    def _assign_columns(self, names: Collection[str]) -> InteractionColumns | LineError | None:
        if not is_interaction(names):
            return None
        try:
            columns = assign_columns(names, {})
        except FileError as exc:
            return LineError(str(exc))
        unknown = [name for name in names if name not in columns]
        if unknown and not self._options.ignore_unknown:
            return LineError("; ".join(map(_describe_unknown, unknown)))
        return columns

    def _infer_rule(self, row: Row, columns: InteractionColumns) -> None:
        """Find out the scale of the ratings from this row and the following ones."""
        column = columns.value
        if column is None or not is_rating(column) or _get_rating(row, column) is None:
            return
        self._following.extend(take_sample(self._rows))
        ratings = [
            rating
            for sample_row in (row, *self._following)
            if self._is_rated(sample_row)
            and (rating := _get_rating(sample_row, column)) is not None
        ]
        rule = infer_rating_rule(ratings, column, self._options.dislike_below)
        self._builder.rule = rule
        self._report(f"type of ratings: {rule.describe()}")

    def _is_rated(self, row: Row) -> bool:
        """Is this an interaction whose type depends on its rating?"""
        columns = self._get_columns(row.value)
        return isinstance(columns, InteractionColumns) and columns.type is None


def _build_row(
    builder: InteractionBuilder, row: Row, columns: InteractionColumns, position: int
) -> Row:
    if not isinstance(row.value, dict):
        return row
    try:
        return Row(row.number, builder.build(row.value, columns, position))
    except LineError as exc:
        return Row(row.number, exc)


def _get_rating(row: Row, column: str) -> float | None:
    """Return the rating of a row; None if it has none that is valid."""
    try:
        return parse_value(row.value.get(column)) if isinstance(row.value, dict) else None
    except LineError:
        return None


def _describe_unknown(name: str) -> str:
    likely = suggest(name, INTERACTION_FIELDS)
    hint = f"did you mean {likely}?" if likely else "--ignore-unknown ignores it"
    return f"{name}: unknown field of an interaction; {hint}"
