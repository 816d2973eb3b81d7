"""The OpenAPI document, and checks of responses against it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

DOCUMENT = json.loads((Path(__file__).parents[2] / "service/http/openapi.json").read_text())
NDJSON = "application/x-ndjson"
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def close_objects(schema: Any) -> Any:
    """A copy of a schema whose messages have no fields besides those that it names."""
    if isinstance(schema, list):
        return [close_objects(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: close_objects(part) for name, part in schema.items()}
    if closed.get("type") == "object" and "@type" not in closed.get("properties", {"@type": {}}):
        closed["additionalProperties"] = False
    return closed


SCHEMA = schemathesis.openapi.from_dict(close_objects(DOCUMENT))
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]
TEMPLATES = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]*", operation.path)), operation) for operation in OPERATIONS
]


@schemathesis.serializer(NDJSON)
def serialize_lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.deserializer(NDJSON)
def deserialize_lines(_context: Any, response: schemathesis.Response) -> str:
    text = response.content.decode()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    return text


def check_response(response: httpx.Response) -> None:
    """Fails if a response is not as the document says; a hook of HTTP clients."""
    response.read()
    path = response.request.url.raw_path.decode().partition("?")[0]
    (operation,) = (
        operation
        for template, operation in TEMPLATES
        if template.fullmatch(path) and operation.method.upper() == response.request.method
    )
    operation.validate_response(response)
