from __future__ import annotations

import json
from pathlib import Path

import make_openapi
import pytest
import schemathesis
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from schemathesis.core.result import Err
from support.security import METHODS

FOLDER = Path(__file__).parents[2] / "service/http"
ROUTES = make_openapi.read_routes()
REQUESTS = {method.full_name: method.input_type for method in METHODS}


def resolve(message: Descriptor, path: str) -> FieldDescriptor:
    """The field at a path within a message."""
    name, _, rest = path.partition(".")
    field = message.fields_by_name[name]
    assert field.message_type is not None or not rest
    return resolve(field.message_type, rest) if rest and field.message_type else field


@pytest.mark.parametrize("name", ["routes.json", "openapi.json"])
def test_the_committed_file_is_current(name: str, tmp_path: Path) -> None:
    """The files in the package are what the protos and http.yaml generate."""
    make_openapi.main(tmp_path)
    assert (tmp_path / name).read_text() == (FOLDER / name).read_text()


def test_every_method_has_a_rule() -> None:
    """Each method can be called over HTTP, and no rule is for another one."""
    assert set(REQUESTS) == {route.method for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.path}")
def test_the_fields_of_a_rule_exist(route: make_openapi.Route) -> None:
    """The path names strings of the request, and the body one of its messages."""
    request = REQUESTS[route.method]
    for capture in make_openapi.find_captures(route.path):
        assert FieldDescriptor.TYPE_STRING == resolve(request, capture).type
    if route.body not in {"", "*"}:
        assert resolve(request, route.body).message_type is not None


def test_paths_are_unique() -> None:
    """No two rules have the same verb and path, whatever the fields in the path are called."""
    places = [(route.verb, make_openapi.make_path(route)) for route in ROUTES]
    assert len(places) == len(set(places))


def test_the_document_is_valid() -> None:
    """A library that reads OpenAPI 3.1 accepts the document, and finds each operation."""
    schema = schemathesis.openapi.from_dict(json.loads((FOLDER / "openapi.json").read_text()))
    schema.validate()
    operations = [
        operation["operationId"]
        for path in schema.raw_schema["paths"].values()
        for operation in path.values()
    ]
    assert [] == [result for result in schema.get_all_operations() if isinstance(result, Err)]
    assert len(ROUTES) == len(operations)
    assert len(operations) == len(set(operations))


@pytest.mark.parametrize(
    ("place", "statuses"),
    [
        ("GET /v1/catalogs", {401, 403, 429, 503}),
        ("POST /v1/catalogs", {401, 403, 408, 413, 415, 429, 503}),
        ("GET /v1/catalogs/{catalog}/items/{itemId}", {401, 403, 404, 429, 503}),
        (
            "PUT /v1/catalogs/{catalog}/items/{itemId}",
            {401, 403, 404, 408, 413, 415, 429, 503},
        ),
        ("POST /v1/catalogs/{catalog}/items:import", {401, 403, 404, 415, 429, 503}),
    ],
)
def test_operations_name_their_errors(place: str, statuses: set[int]) -> None:
    """Each operation has the statuses that it can fail with, beside the default."""
    document = json.loads((FOLDER / "openapi.json").read_text())
    verb, _, path = place.partition(" ")
    responses = document["paths"][path][verb.lower()]["responses"]
    assert {"200", "default", *map(str, statuses)} == set(responses)


@pytest.mark.parametrize(
    ("response", "header"),
    [
        ("Unauthenticated", "www-authenticate"),
        ("ResourceExhausted", "retry-after"),
        ("Unavailable", "retry-after"),
        ("Error", "x-request-id"),
    ],
)
def test_errors_name_their_headers(response: str, header: str) -> None:
    """The headers that tell clients what to do are part of the document."""
    components = json.loads((FOLDER / "openapi.json").read_text())["components"]
    reference = components["responses"][response]["headers"][header]["$ref"]
    assert components["headers"][reference.rpartition("/")[2]]["schema"]


def test_meanings_come_from_the_protos() -> None:
    """Operations, parameters and fields have the comments of the protos."""
    document = json.loads((FOLDER / "openapi.json").read_text())
    get_item = document["paths"]["/v1/catalogs/{catalog}/items/{itemId}"]["get"]
    assert get_item["description"]
    assert all(parameter["description"] for parameter in get_item["parameters"])
    item = document["components"]["schemas"]["Item"]["properties"]
    assert all(field.get("description") for field in item.values())
