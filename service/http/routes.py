"""The path and verb of each method, as protos/akin/v1/http.yaml names them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import MethodDescriptor

# Generated from http.yaml by tools/make_openapi.py, because the package has no protos.
ROUTES_FILE = "routes.json"


class Route(NamedTuple):
    """How one method is called.

    Attributes:
        method: the descriptor of the method.
        verb: the HTTP method.
        path: the template, such as `/v1/catalogs/{catalog}/items/{item.item_id}`.
        body: the field of the request that is the body, `*` for the request itself, empty if there
            is no body.
    """

    method: MethodDescriptor
    verb: str
    path: str
    body: str

    @property
    def captures(self) -> tuple[str, ...]:
        """The paths of the fields in the template, in order."""
        segments = _split(self.path)
        return tuple(segment[1:-1] for segment in segments if segment.startswith("{"))


class Match(NamedTuple):
    """The routes of a path by verb, and the values of the fields in the path, percent-encoded."""

    routes: Mapping[str, Route]
    values: tuple[bytes, ...]


class RoutingTable:
    """Finds the routes of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_template: dict[tuple[bytes | None, ...], dict[str, Route]] = defaultdict(dict)
        for route in self.routes:
            self._by_template[_make_template(route.path)][route.verb] = route

    def find(self, raw_path: bytes) -> Match | None:
        """Return the routes of a path as the client sent it, None if there are none.

        Segments are decoded after the path is split, so that values can contain slashes.
        """
        parts = raw_path.removeprefix(b"/").split(b"/")
        segments = [unquote_to_bytes(part) for part in parts]
        for template, routes in self._by_template.items():
            if len(template) == len(segments) and all(
                literal is None or literal == segment
                for literal, segment in zip(template, segments, strict=True)
            ):
                pairs = zip(template, parts, strict=True)
                return Match(routes, tuple(part for literal, part in pairs if literal is None))
        return None


def load_routes(methods: Mapping[str, MethodDescriptor]) -> list[Route]:
    """Return the routes in the package.

    Args:
        methods: the methods by full name.
    """
    rows = json.loads(files("service.http").joinpath(ROUTES_FILE).read_bytes())
    return [Route(methods[name], verb, path, body) for name, verb, path, body in rows]


def _split(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


def _make_template(path: str) -> tuple[bytes | None, ...]:
    """Return the segments of a path, None for each that is the value of a field."""
    return tuple(None if segment.startswith("{") else segment.encode() for segment in _split(path))
