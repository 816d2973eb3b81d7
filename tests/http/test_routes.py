from __future__ import annotations

import pytest
from support.security import METHODS

from service.http.routes import Match, RoutingTable, load_routes

TABLE = RoutingTable(load_routes({method.full_name: method for method in METHODS}))


def find(path: bytes) -> Match:
    match = TABLE.find(path)
    assert match is not None
    return match


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (b"/v1/catalogs/default/items/a", (b"default", b"a")),
        (b"/v1/catalogs/default/items/a%2Fb%3Ac%25", (b"default", b"a%2Fb%3Ac%25")),
        (b"/v1/catalogs/default/items/a:b", (b"default", b"a:b")),
        (b"/v1/catalogs/default/items/", (b"default", b"")),
        (b"/v1/catalogs/c%20d/users/%E6%97%A5", (b"c%20d", b"%E6%97%A5")),
        (b"/v1/catalogs/default/users/a/interactions", (b"default", b"a")),
        (b"/v1/catalogs/default/items%3Arecommend", (b"default",)),
    ],
)
def test_a_path_is_split_before_it_is_decoded(path: bytes, values: tuple[bytes, ...]) -> None:
    """Values stay encoded, so that they can contain any character, and literals may be encoded."""
    assert values == find(path).values


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/v1",
        b"/v1/catalogs/",
        b"/v1/catalogs/default/items/a/b",
        b"/v1/catalogs/default/items:unheard",
        b"/v1/catalogs/default/",
        b"/v2/catalogs",
        b"*",
        b"http://localhost/v1/catalogs",
    ],
)
def test_other_paths_have_no_route(path: bytes) -> None:
    """A path that no rule has is not found; an empty name of a catalog is found, and refused."""
    match = TABLE.find(path)
    assert match is None or match.values == (b"",)


def test_verbs_share_a_path() -> None:
    """The routes of all verbs are found by one path, and name their methods."""
    routes = find(b"/v1/catalogs/default/items/a").routes
    names = {verb: route.method.name for verb, route in routes.items()}
    expected = {"PUT": "UpsertItem", "PATCH": "UpdateItem", "GET": "GetItem"}
    assert expected | {"DELETE": "DeleteItem"} == names
