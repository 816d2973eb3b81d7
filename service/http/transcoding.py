"""Makes the request of a method from the path, the query and the body of an HTTP request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service import errors
from service.http.json_documents import decode_json
from service.http.json_merging import merge_json
from service.http.json_messages import (
    BODY,
    describe_type,
    find_field,
    get_descriptor,
    is_map,
    is_structured,
)
from service.http.routes import Route

_MASK = "google.protobuf.FieldMask"
_BOOLS = {"true": True, "false": False}

_MALFORMED_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")

# Python takes other texts as integers as well, such as `1_0` and digits of other scripts.
_INTEGER = re.compile("-?[0-9]+")
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


def make_request(route: Route, values: Sequence[bytes], query: bytes, body: bytes) -> Message:
    """Return the request.

    Args:
        route: the route of the call.
        values: the values of the fields in the path, percent-encoded.
        query: the query string, without its question mark.
        body: the body; empty for one without fields.

    Raises:
        InvalidRequest: a part of it is invalid.
        UnexplainedFailure: the body is not the JSON form of its message.
    """
    request: Message = GetMessageClass(route.method.input_type)()
    _set_body(request, route, body)
    set_parameters(request, route, values, query)
    return request


def set_parameters(request: Message, route: Route, values: Sequence[bytes], query: bytes) -> None:
    """Set the fields of a request that are in the path and in the query.

    Raises:
        InvalidRequest: a value is invalid, or the body has another one.
    """
    for path, value in zip(route.captures, values, strict=True):
        _set_capture(request, path, value)
    places: set[str] = set()
    for name, texts in _parse_query(query).items():
        place = _set_parameter(request, route, name, texts)
        if place in places:
            raise errors.invalid_field(place, "must be given under one of its names")
        places.add(place)


def _set_body(request: Message, route: Route, body: bytes) -> None:
    if not body:
        return
    if not route.body:
        raise errors.invalid_field(BODY, f"must be empty for {route.verb}")
    path = "" if route.body == "*" else route.body
    message = getattr(request, path) if path else request
    merge_json(decode_json(body, get_descriptor(message), path), message, path)
    if path:
        message.SetInParent()


def _set_capture(request: Message, path: str, data: bytes) -> None:
    try:
        value = _decode_escapes(data)
    except ValueError:
        raise errors.invalid_field(path, "must be UTF-8, percent-encoded in the path") from None
    *parents, name = path.split(".")
    holder: Any = request
    for parent in parents:
        holder = getattr(holder, parent)
    if not value and not parents and name == "catalog":
        # It would stand for the default catalog, which a program with an unset variable hardly
        # means.
        raise errors.invalid_field(path, "must be named in the path")
    if getattr(holder, name) not in {"", value}:
        raise errors.invalid_field(path, "must not differ between the path and the body")
    setattr(holder, name, value)


def _parse_query(query: bytes) -> dict[str, list[str]]:
    """Return the values of each parameter."""
    parameters: dict[str, list[str]] = {}
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            try:
                text = _decode_escapes(value)
                parameters.setdefault(_decode_escapes(name), []).append(text)
            except ValueError:
                raise errors.invalid_field("query", "must be UTF-8, percent-encoded") from None
    return parameters


def _decode_escapes(data: bytes) -> str:
    """Return percent-encoded text, or raise ValueError."""
    if _MALFORMED_ESCAPE.search(data):
        raise ValueError("a percent sign is not followed by two hexadecimal digits")
    return unquote_to_bytes(data).decode()


def _set_parameter(request: Message, route: Route, name: str, texts: list[str]) -> str:
    """Set the field of a parameter; return its path, with the names of the protos."""
    *parents, last = name.split(".")
    path: list[str] = []
    for parent in parents:
        field = find_field(get_descriptor(request), parent)
        if field is None or field.is_repeated or not is_structured(field):
            raise _unknown_parameter(name, route)
        path.append(field.name)
        request = getattr(request, field.name)
    field = find_field(get_descriptor(request), last)
    if field is None:
        raise _unknown_parameter(name, route)
    place = ".".join([*path, field.name])
    if route.body == "*" or place in route.captures or (path or [place])[0] == route.body:
        raise errors.invalid_field(place, "must not be a query parameter of this method")
    if is_structured(field) or is_map(field):
        raise errors.invalid_field(place, "can only be sent in a body")
    if len(texts) > 1 and not field.is_repeated:
        raise errors.invalid_field(place, "must be given once")
    choice = field.containing_oneof
    if choice is not None and request.WhichOneof(choice.name) is not None:
        raise errors.invalid_field(place, "must not be given beside another choice")
    _set_texts(request, field, place, texts)
    return place


def _set_texts(request: Message, field: FieldDescriptor, place: str, texts: list[str]) -> None:
    if field.message_type is not None and field.message_type.full_name == _MASK:
        # Only the first part of a path names a field; the others name attributes.
        paths = filter(None, texts[0].split(","))
        mask = getattr(request, field.name)
        mask.SetInParent()
        mask.paths.extend(map(_to_snake_case, paths))
        return
    values: list[Any] = list(texts)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        values = [_BOOLS.get(text, text) for text in texts]
    invalid = errors.invalid_field(place, f"must be {describe_type(field)}")
    if field.cpp_type in _INTEGERS and not all(map(_INTEGER.fullmatch, texts)):
        raise invalid
    try:
        value = values if field.is_repeated else values[0]
        json_format.ParseDict({field.name: value}, request)
    except (json_format.ParseError, ValueError, OverflowError):
        raise invalid from None


def _to_snake_case(path: str) -> str:
    first, dot, rest = path.partition(".")
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", first) + dot + rest


def _unknown_parameter(name: str, route: Route) -> errors.InvalidRequest:
    request = route.method.input_type.full_name
    return errors.invalid_field(name, f"is not a field of {request}")
