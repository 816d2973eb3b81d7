"""Messages in the JSON form of proto3, and what their fields are in words."""

from __future__ import annotations

import json
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

BODY = "body"

# Violations of one request that are named.
MAX_VIOLATIONS = 100

_TYPES = {
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "an integer of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "an integer of 64 bits",
    FieldDescriptor.CPPTYPE_UINT32: "a positive integer of 32 bits",
    FieldDescriptor.CPPTYPE_UINT64: "a positive integer of 64 bits",
}

_WELL_KNOWN = {
    "google.protobuf.Duration": "a duration such as 3.5s",
    "google.protobuf.FieldMask": "paths of fields, separated by commas",
    "google.protobuf.ListValue": "an array",
    "google.protobuf.Struct": "an object without deep nesting",
    "google.protobuf.Timestamp": "a time such as 2026-05-04T12:00:00Z",
    "google.protobuf.Value": "a value without deep nesting",
}

WELL_KNOWN_TYPES = frozenset(_WELL_KNOWN)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode_json(value: object) -> bytes:
    """Return a value as a JSON document on one line."""
    return _ENCODER.encode(value).encode()


def encode_message(message: Message) -> bytes:
    """Return the JSON form of a message on one line."""
    return encode_json(json_format.MessageToDict(message))


def get_descriptor(message: Message) -> Descriptor:
    """Return the descriptor of a message."""
    descriptor: Any = message.DESCRIPTOR
    return cast("Descriptor", descriptor)


def find_field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """Return the field with a name, in lowerCamelCase or as in the protos."""
    field = descriptor.fields_by_camelcase_name.get(name) or descriptor.fields_by_name.get(name)
    return field if isinstance(field, FieldDescriptor) else None


def describe_type(field: FieldDescriptor) -> str:
    """Return what the value of a field must be, in words."""
    if field.enum_type is not None:
        return f"one of {', '.join(value.name for value in field.enum_type.values)}"
    if field.message_type is not None:
        return _WELL_KNOWN.get(field.message_type.full_name, "an object")
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes in Base64"
    return _TYPES.get(field.cpp_type, "a string of Unicode characters")


def is_list(field: FieldDescriptor) -> bool:
    """Return whether a field is repeated and no map."""
    return field.is_repeated and not is_map(field)


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def get_map_value(field: FieldDescriptor) -> FieldDescriptor:
    """Return the field that describes the values of a map."""
    entry: Any = field.message_type
    return cast("FieldDescriptor", entry.fields_by_name["value"])


def is_structured(field: FieldDescriptor) -> bool:
    """Return whether the values of a field are objects with the fields of a message."""
    kind = field.message_type
    return kind is not None and kind.full_name not in WELL_KNOWN_TYPES
