"""Calls over HTTP, made from the requests of calls over gRPC by the rules of http.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import akin
import grpc
import httpx
import yaml
from akin import _errors
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

VERBS = {"get", "put", "post", "delete", "patch"}
STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
RULES: dict[str, dict[str, Any]] = {
    rule["selector"]: rule
    for rule in yaml.safe_load(
        (Path(__file__).parents[2] / "protos/akin/v1/http.yaml").read_text()
    )["http"]["rules"]
}

# Details of errors are found in the pool of descriptors by their type.
DETAILS = error_details_pb2.DESCRIPTOR


def make_url(rule: Mapping[str, Any], request: Any, fields: dict[str, Any]) -> tuple[str, str]:
    """The verb and path of a call; the fields in the path leave `fields`, the JSON of a request."""
    (verb,) = rule.keys() & VERBS
    segments = []
    for segment in rule[verb].split("/"):
        if segment.startswith("{"):
            names = segment[1:-1].split(".")
            value, holder = request, fields
            for name in names[:-1]:
                value, holder = getattr(value, name), holder.get(name, {})
            value = getattr(value, names[-1])
            holder.pop(names[-1], None)
            segments.append(quote(value or ("default" if segment == "{catalog}" else ""), safe=""))
        else:
            segments.append(segment)
    return verb, "/".join(segments)


def choose_binding(rule: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The binding that can carry the fields: a query carries no objects."""
    has_objects = any(isinstance(value, dict) for value in fields.values())
    if "body" not in rule and has_objects:
        return dict(rule["additional_bindings"][0])
    return rule


def make_query(request: Any, fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The query parameters for fields of a request."""
    for name, value in fields.items():
        if name == "update_mask":
            yield name, ",".join(request.update_mask.paths)
        elif isinstance(value, bool):
            yield name, str(value).lower()
        else:
            yield name, str(value)


def to_json(request: Message) -> dict[str, Any]:
    """The JSON form of a request, with the names of the protos; masks can have any paths."""
    copy: Any = type(request)()
    copy.CopyFrom(request)
    has_mask = "update_mask" in copy.DESCRIPTOR.fields_by_name and copy.HasField("update_mask")
    if has_mask:
        copy.ClearField("update_mask")
    fields: dict[str, Any] = json_format.MessageToDict(copy, preserving_proto_field_name=True)
    return fields | ({"update_mask": ""} if has_mask else {})


def call(
    http: httpx.Client, method: MethodDescriptor, request: Message, timeout: float | None = None
) -> list[Message]:
    """Calls a method with one request; returns the responses.

    Raises:
        AkinError: the call failed.
    """
    fields = to_json(request)
    rule = choose_binding(RULES[method.full_name], fields)
    verb, path = make_url(rule, request, fields)
    body: Any = None
    if rule.get("body") == "*":
        body, fields = fields, {}
    elif "body" in rule:
        body = fields.pop(rule["body"], {})
    options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    try:
        response = http.request(
            verb.upper(), path, params=list(make_query(request, fields)), json=body, **options
        )
    except httpx.TimeoutException as exc:
        raise akin.AkinError(grpc.StatusCode.DEADLINE_EXCEEDED, "") from exc
    documents = read_documents(response)
    return [
        json_format.ParseDict(each, GetMessageClass(method.output_type)()) for each in documents
    ]


def read_documents(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON documents of a response; raises AkinError for an error, also for one at the end."""
    if response.status_code != httpx.codes.OK:
        raise make_error(response.json())
    if response.headers["content-type"] == "application/json":
        return [response.json()]
    documents = [json.loads(line) for line in response.text.splitlines()]
    if documents and "error" in documents[-1] and "line" not in documents[-1]:
        raise make_error(documents[-1]["error"])
    return documents


def make_error(document: dict[str, Any]) -> akin.AkinError:
    """The error that the Python client makes of a status."""
    status = json_format.ParseDict(document, status_pb2.Status())
    error = akin.AkinError(STATUS_CODES[status.code], status.message)
    _errors._add_details(error, status)
    return error
