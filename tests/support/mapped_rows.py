"""Rows of a file that `akin import` has mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from service.cli.formats.rows import LineError, Records, Row
from service.cli.import_rows import map_rows
from service.cli.interaction_builder import InteractionOptions
from service.cli.table_mapping import TableOptions


class MappedRows:
    """The values of mapped rows, with errors as words, and the lines that were reported."""

    def __init__(
        self,
        rows: Iterable[Any],
        header: Sequence[str] | None = None,
        table: TableOptions | None = None,
        **options: Any,
    ) -> None:
        self.lines: list[str] = []
        self.values = self._map(
            rows, header, table or TableOptions(), InteractionOptions(**options)
        )

    def _map(
        self,
        rows: Iterable[Any],
        header: Sequence[str] | None,
        table: TableOptions,
        options: InteractionOptions,
    ) -> list[Any]:
        values = (dict(zip(header, row, strict=True)) if header else row for row in rows)
        numbered: Iterator[Row] = (Row(number, value) for number, value in enumerate(values, 2))
        records = Records(numbered, header, is_text=bool(header))
        mapped = map_rows(records, table, options, lambda text: self.lines.extend(text.split("\n")))
        return [str(value) if isinstance(value, LineError) else value for _, value in mapped]

    @property
    def types(self) -> list[str]:
        """The types of interactions, and the errors of others."""
        return [value if isinstance(value, str) else value.type for value in self.values]
