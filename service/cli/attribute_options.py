"""Options that set and remove attributes of an item: --set KEY=VALUE and --unset KEY."""

from __future__ import annotations

import json
from collections.abc import Sequence

import akin
import typer

from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import LineError
from service.domain.printable import to_line

# A value that begins with one of them is meant to be JSON.
_JSON_STARTS = ("{", "[", '"')


def parse_attributes(
    assignments: Sequence[str] | None, removed: Sequence[str] | None
) -> dict[str, object]:
    """Return the new attributes of --set.

    Args:
        assignments: the words of --set.
        removed: the keys of --unset.

    Raises:
        BadParameter: a word is no KEY=VALUE, a value is not exact, or a key occurs twice.
    """
    attributes: dict[str, object] = {}
    for word in assignments or ():
        key, separator, value = word.partition("=")
        if not key or not separator:
            raise typer.BadParameter(
                f"must have the form KEY=VALUE, not {to_line(word)}", param_hint="--set"
            )
        if key in attributes:
            raise typer.BadParameter(f"has {to_line(key)} twice", param_hint="--set")
        attributes[key] = _parse_value(key, value)
    try:
        akin.item("", "", attributes)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--set") from None
    for key in removed or ():
        if not key or key in attributes:
            reason = f"--set has {to_line(key)} too" if key else "must name an attribute"
            raise typer.BadParameter(reason, param_hint="--unset")
    return attributes


def _parse_value(key: str, value: str) -> object:
    """Return the JSON value of a text, or the text itself if it is not JSON."""
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        if not value.lstrip().startswith(_JSON_STARTS):
            return value
    try:
        return JsonDecoder().decode(value)
    except LineError as exc:
        message = (
            f"{to_line(key)}: {exc}; put a text in double quotes: --set '{to_line(key)}=\"...\"'"
        )
        raise typer.BadParameter(message, param_hint="--set") from None
