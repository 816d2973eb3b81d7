"""Writes the routes and the OpenAPI document of the JSON API from protos/akin/v1.

python tools/make_openapi.py [FOLDER]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import make_api
import yaml
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)
from openapi_responses import HEADERS, RESPONSES, STATUS, describe_success, list_errors
from openapi_schemas import Json, Schemas, is_query_parameter, join, refer

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "protos/akin/v1/http.yaml"
FOLDER = ROOT / "service/http"

VERBS = {"get", "put", "post", "delete", "patch"}

INTRODUCTION = """\
The methods of Akin as JSON over HTTP. Requests and responses are the messages of
the gRPC API in the JSON form of proto3: names in lowerCamelCase, integers of 64
bits as strings, and fields with their default value left out. Requests may also
have the names of the protos. Fields and query parameters that do not exist are
refused.

An error is a google.rpc.Status. The HTTP status follows from its code:
INVALID_ARGUMENT, FAILED_PRECONDITION and OUT_OF_RANGE 400, UNAUTHENTICATED 401,
PERMISSION_DENIED 403, NOT_FOUND 404, ALREADY_EXISTS and ABORTED 409,
RESOURCE_EXHAUSTED 429, CANCELLED 499, UNKNOWN, INTERNAL and DATA_LOSS 500,
UNIMPLEMENTED 501, UNAVAILABLE 503, DEADLINE_EXCEEDED 504. A body of another type is
refused with 415, and one of more than 16 MiB with 413."""

REFUSED_LINE: Json = {
    "type": "object",
    "description": "A line of an import that was not stored.",
    "required": ["line", "error"],
    "properties": {
        "line": {"type": "integer", "description": "The number of the line, from 1."},
        "error": refer("Status"),
    },
}

IMPORT_SUMMARY: Json = {
    "type": "object",
    "description": "The last line of the response to an import.",
    "required": ["stored", "refused", "sequence"],
    "properties": {
        "stored": {"type": "integer", "description": "The number of stored lines."},
        "refused": {"type": "integer", "description": "The number of refused lines."},
        "valid": {
            "type": "integer",
            "description": "The number of valid lines, with validateOnly.",
        },
        "duplicates": {
            "type": "integer",
            "description": "The number of interactions that were recorded before.",
        },
        "sequence": {
            "type": "string",
            "format": "int64",
            "description": "The sequence number of the last write. 0 if nothing was stored.",
        },
        "usage": refer("EmbeddingUsage"),
        "error": refer("Status"),
    },
}


class Route(NamedTuple):
    """How a method is called, as in http.yaml."""

    method: str
    verb: str
    path: str
    body: str


class Method(NamedTuple):
    """A method with the name of its service and its comment."""

    descriptor: MethodDescriptorProto
    service: str
    paragraphs: list[str]


def read_routes() -> list[Route]:
    """The routes in the order of the rules."""
    rules = yaml.safe_load(RULES.read_text())["http"]["rules"]
    return [route for rule in rules for route in _bindings(rule["selector"], rule)]


def _bindings(method: str, rule: dict[str, Any]) -> Iterator[Route]:
    (verb,) = rule.keys() & VERBS
    yield Route(method, verb.upper(), rule[verb], rule.get("body", ""))
    for further in rule.get("additional_bindings", []):
        yield from _bindings(method, further)


def make_routes() -> str:
    """The file of routes."""
    rows = ",\n".join(f"  {json.dumps(route)}" for route in read_routes())
    return f"[\n{rows}\n]\n"


def make_document() -> str:
    """The OpenAPI document."""
    files = make_api.files()
    schemas = Schemas(files)
    methods = list_methods(files)
    paths: dict[str, Json] = {}
    operation_ids: set[str] = set()
    for route in read_routes():
        operation = make_operation(route, methods[route.method], schemas)
        if operation["operationId"] in operation_ids:
            operation["operationId"] += route.verb.capitalize()
        operation_ids.add(operation["operationId"])
        paths.setdefault(make_path(route), {})[route.verb.lower()] = operation
    types = schemas.schemas | {
        "Status": STATUS,
        "RefusedLine": REFUSED_LINE,
        "ImportSummary": IMPORT_SUMMARY,
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Akin", "version": "v1", "description": INTRODUCTION},
        "tags": make_tags(files),
        "security": [{}, {"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, if the server has keys.",
                }
            },
            "headers": HEADERS,
            "responses": RESPONSES,
            "schemas": keep_used(types, paths | RESPONSES),
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def list_methods(files: list[FileDescriptorProto]) -> dict[str, Method]:
    """The methods by full name."""
    methods: dict[str, Method] = {}
    for file in files:
        comments = make_api.Comments(file)
        for number, service in enumerate(file.service):
            for position, method in enumerate(service.method):
                above = comments.at(make_api.SERVICES, number, make_api.PARTS, position)
                full_name = f"{file.package}.{service.name}.{method.name}"
                methods[full_name] = Method(method, service.name, above)
    return methods


def make_tags(files: list[FileDescriptorProto]) -> list[Json]:
    """A tag for each service."""
    return [
        {
            "name": service.name,
            "description": join(make_api.Comments(file).at(make_api.SERVICES, number)),
        }
        for file in files
        for number, service in enumerate(file.service)
    ]


def keep_used(types: dict[str, Json], paths: Json) -> dict[str, Json]:
    """The schemas that the paths refer to, directly or through others, by name."""
    used: set[str] = set()
    names = find_references(paths)
    while names:
        used |= names
        names = set().union(*(find_references(types[name]) for name in names)) - used
    return {name: types[name] for name in sorted(used)}


def find_references(schema: Json) -> set[str]:
    """The names of the schemas that a schema refers to."""
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))


def make_operation(route: Route, method: Method, schemas: Schemas) -> Json:
    """One method at one path."""
    descriptor = method.descriptor
    operation: Json = {
        "operationId": descriptor.name,
        "tags": [method.service],
        "summary": method.paragraphs[0].partition(". ")[0].rstrip("."),
        "description": join(method.paragraphs),
    }
    if parameters := list(make_parameters(route, descriptor.input_type, schemas)):
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = make_body(route, descriptor, schemas)
    errors = list_errors(
        has_catalog=bool(find_captures(route.path)),
        has_body=bool(route.body),
        has_lines=descriptor.client_streaming,
    )
    operation["responses"] = {"200": describe_success(make_content(descriptor)), **errors}
    return operation


def make_parameters(route: Route, message: str, schemas: Schemas) -> Iterator[Json]:
    """The parameters in the path and in the query."""
    captures = find_captures(route.path)
    for capture in captures:
        owner, field = find_field(schemas, message, capture)
        yield make_parameter("path", schemas.describe(owner, field), field) | {"required": True}
    if route.body == "*":
        return
    for field in schemas.list_fields(message):
        if field.name not in {route.body, *captures} and is_query_parameter(field):
            yield make_parameter("query", schemas.describe(message, field), field)


def make_parameter(place: str, schema: Json, field: FieldDescriptorProto) -> Json:
    """A parameter."""
    meaning = schema.pop("description", "")
    return {"name": field.json_name, "in": place, "description": meaning, "schema": schema}


def make_body(route: Route, descriptor: MethodDescriptorProto, schemas: Schemas) -> Json:
    """The body of a request."""
    message = descriptor.input_type
    if route.body == "*":
        schema = schemas.make_body(message, set(find_captures(route.path)))
        return {"content": {"application/json": {"schema": schema}}}
    (field,) = (each for each in schemas.list_fields(message) if each.name == route.body)
    if not descriptor.client_streaming:
        schema = refer(field.type_name)
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    name = field.type_name.rpartition(".")[2]
    return {
        "required": True,
        "description": f"Each line is one {name} as JSON.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }


def make_content(descriptor: MethodDescriptorProto) -> Json:
    """The body of a response."""
    name = descriptor.output_type.rpartition(".")[2]
    if descriptor.client_streaming:
        meaning = "Each line is a RefusedLine, and the last one an ImportSummary."
        lines = [refer("RefusedLine"), refer("ImportSummary")]
    elif descriptor.server_streaming:
        meaning = f"Each line is a {name}. A call that fails ends with an object `error`."
        failure = {"type": "object", "properties": {"error": refer("Status")}}
        lines = [refer(name), failure]
    else:
        return {"application/json": {"schema": refer(name)}}
    schema = {"type": "string", "description": meaning, "contentSchema": {"anyOf": lines}}
    return {"application/x-ndjson": {"schema": schema}}


def find_field(schemas: Schemas, message: str, path: str) -> tuple[str, FieldDescriptorProto]:
    """The field at a path, and the message that has it."""
    name, _, rest = path.partition(".")
    (field,) = (each for each in schemas.list_fields(message) if each.name == name)
    return find_field(schemas, field.type_name, rest) if rest else (message, field)


def find_captures(path: str) -> list[str]:
    """The paths of the fields in a path."""
    return re.findall(r"\{([\w.]+)\}", path)


def make_path(route: Route) -> str:
    """A path with the names of its fields in lowerCamelCase."""
    return re.sub(
        r"\{([\w.]+)\}",
        lambda match: f"{{{to_camel_case(match[1].rpartition('.')[2])}}}",
        route.path,
    )


def to_camel_case(name: str) -> str:
    """A name in lowerCamelCase."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def main(folder: Path) -> None:
    """Write the files."""
    (folder / "routes.json").write_text(make_routes())
    (folder / "openapi.json").write_text(make_document())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
