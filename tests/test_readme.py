from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest

from service.settings import Settings, list_variables

ROOT = Path(__file__).resolve().parents[1]
README_LINES = 150
ROW = re.compile(r"\| `([A-Z_]+)` \| (.*?) ?\| (.+?) \| (.+) \|")


def test_settings_tables_are_the_settings() -> None:
    """The page names every setting in order, with its default and meaning, and no other."""
    expected = [
        (variable, _default(name), Settings.model_fields[name].description)
        for name, variable in list_variables().items()
    ]
    assert expected == [(variable, default, meaning) for variable, default, _, meaning in _rows()]


@pytest.mark.parametrize("name", list_variables())
def test_settings_tables_have_the_limits(name: str) -> None:
    """The allowed values on the page are those that the server accepts."""
    (allowed,) = (row[2] for row in _rows() if row[0] == list_variables()[name])
    assert _allowed(name) in {"", allowed}


def test_the_limits_come_from_the_fields() -> None:
    """Numbers, choices and switches have limits to compare with."""
    assert "1 to 64" == _allowed("workers")
    assert "above 0, up to 600" == _allowed("embedding_timeout_seconds")
    assert "0 or more" == _allowed("embedding_budget_usd_per_day")
    assert "`pooled`, `nearest` or `mean`" == _allowed("ranking")
    assert "`true` or `false`" == _allowed("reflection")


def test_the_readme_is_short() -> None:
    """The README stays a first page; details have pages of their own."""
    assert README_LINES >= len((ROOT / "README.md").read_text().splitlines())


def _rows() -> list[tuple[str, str, str, str]]:
    """The variable, default, allowed values and meaning of each row of the page's tables."""
    page = (ROOT / "docs/settings.md").read_text()
    table = page.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    matches = [ROW.fullmatch(line) for line in lines]
    return [(match[1], match[2], match[3], match[4]) for match in matches if match]


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    if default in {None, ""}:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _allowed(name: str) -> str:
    """The limits of a setting in words; empty for one whose type is its only limit."""
    field = Settings.model_fields[name]
    if field.annotation is bool:
        return "`true` or `false`"
    if get_origin(field.annotation) is Literal:
        *first, last = (f"`{value}`" for value in get_args(field.annotation))
        return f"{', '.join(first)} or {last}"
    bounds = dict(_bounds([*field.metadata, *_optional_metadata(field.annotation)]))
    if "Gt" in bounds:
        return f"above {bounds['Gt']}, up to {bounds['Le']}"
    if "Ge" in bounds:
        return f"{bounds['Ge']} to {bounds['Le']}" if "Le" in bounds else f"{bounds['Ge']} or more"
    return ""


def _optional_metadata(annotation: Any) -> list[Any]:
    """What restricts the value of a setting that may be unset."""
    return [
        part
        for choice in get_args(annotation)
        for metadata in get_args(choice)[1:]
        for part in getattr(metadata, "metadata", [metadata])
    ]


def _bounds(metadata: list[Any]) -> Iterator[tuple[str, Any]]:
    for each in metadata:
        match each:
            case annotated_types.Ge(bound) | annotated_types.Gt(bound) | annotated_types.Le(bound):
                yield type(each).__name__, bound
