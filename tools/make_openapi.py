"""Writes the routes and the OpenAPI document of the JSON API from protos/akin/v1.

python tools/make_openapi.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "protos/akin/v1/http.yaml"
ROUTES = ROOT / "service/http/routes.json"

VERBS = ("get", "put", "post", "delete", "patch")


def read_routes() -> list[tuple[str, str, str, str]]:
    """The method, verb, path and body of each route, in the order of the rules."""
    rules = yaml.safe_load(RULES.read_text())["http"]["rules"]
    return [route for rule in rules for route in _bindings(rule["selector"], rule)]


def _bindings(method: str, rule: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    (verb,) = rule.keys() & set(VERBS)
    yield method, verb.upper(), rule[verb], rule.get("body", "")
    for further in rule.get("additional_bindings", []):
        yield from _bindings(method, further)


def routes() -> str:
    """The file of routes."""
    rows = ",\n".join(f"  {json.dumps(route)}" for route in read_routes())
    return f"[\n{rows}\n]\n"


if __name__ == "__main__":
    ROUTES.write_text(routes())
