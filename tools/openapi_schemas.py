"""JSON schemas of the messages and enums of the contract, with the comments of the protos."""

from __future__ import annotations

from typing import Any

import make_api
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

Json = dict[str, Any]

_FIELD = FieldDescriptorProto
INTEGERS_OF_32_BITS = {_FIELD.TYPE_INT32, _FIELD.TYPE_SINT32, _FIELD.TYPE_SFIXED32}
INTEGERS_OF_64_BITS = {
    _FIELD.TYPE_INT64: "int64",
    _FIELD.TYPE_SINT64: "int64",
    _FIELD.TYPE_SFIXED64: "int64",
    _FIELD.TYPE_UINT64: "uint64",
    _FIELD.TYPE_FIXED64: "uint64",
}
SCALARS: dict[int, Json] = {
    _FIELD.TYPE_BOOL: {"type": "boolean"},
    _FIELD.TYPE_BYTES: {"type": "string", "format": "byte"},
    _FIELD.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _FIELD.TYPE_FLOAT: {"type": "number", "format": "float"},
    _FIELD.TYPE_STRING: {"type": "string"},
    _FIELD.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    _FIELD.TYPE_FIXED32: {"type": "integer", "format": "uint32"},
}
WELL_KNOWN: dict[str, Json] = {
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
    ".google.protobuf.FieldMask": {"type": "string"},
    ".google.protobuf.ListValue": {"type": "array", "items": {}},
    ".google.protobuf.Struct": {"type": "object"},
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Value": {},
}


class Schemas:
    """The schemas of all types, by the last part of their name.

    `messages` are the messages by full name with a dot in front, and `descriptions` what is written
    above each (with an empty second name) and above its fields.
    """

    def __init__(self, files: list[FileDescriptorProto]) -> None:
        self.messages: dict[str, DescriptorProto] = {}
        self.descriptions: dict[tuple[str, str], str] = {}
        self.schemas: dict[str, Json] = {}
        for file in files:
            comments = make_api.Comments(file)
            for number, message in enumerate(file.message_type):
                self._add_message(message, f".{file.package}.{message.name}", number, comments)
            for number, enum in enumerate(file.enum_type):
                self.schemas[enum.name] = make_enum(enum, number, comments)
        for name, message in self.messages.items():
            self.schemas[message.name] = self._make_message(name, set())

    def make_body(self, message: str, captures: set[str]) -> Json:
        """The schema of a request as a body, without the fields that are in the path."""
        return self._make_message(message, captures)

    def list_fields(self, message: str) -> list[FieldDescriptorProto]:
        """The fields of a message."""
        return list(self.messages[message].field)

    def describe(self, message: str, field: FieldDescriptorProto) -> Json:
        """The schema of a field, with its meaning."""
        schema = self._make_field(self.messages[message], field)
        meaning = self.descriptions[message, field.name]
        return schema | ({"description": meaning} if meaning else {})

    def _add_message(
        self, message: DescriptorProto, name: str, number: int, comments: make_api.Comments
    ) -> None:
        self.messages[name] = message
        self.descriptions[name, ""] = join(comments.at(make_api.MESSAGES, number))
        for position, field in enumerate(message.field):
            parts = comments.at(make_api.MESSAGES, number, make_api.PARTS, position)
            self.descriptions[name, field.name] = join(parts)

    def _make_message(self, name: str, left_out: set[str]) -> Json:
        message = self.messages[name]
        fields = [field for field in message.field if field.name not in left_out]
        return {
            "type": "object",
            "description": self.descriptions[name, ""],
            "properties": {field.json_name: self.describe(name, field) for field in fields},
        }

    def _make_field(self, message: DescriptorProto, field: FieldDescriptorProto) -> Json:
        entry = find_map_entry(message, field)
        if entry is not None:
            value = self._make_value(entry.field[1])
            return {"type": "object", "additionalProperties": value}
        value = self._make_value(field)
        return {"type": "array", "items": value} if is_repeated(field) else value

    def _make_value(self, field: FieldDescriptorProto) -> Json:
        if field.type in {_FIELD.TYPE_MESSAGE, _FIELD.TYPE_ENUM}:
            known = WELL_KNOWN.get(field.type_name)
            return refer(field.type_name) if known is None else dict(known)
        if field.type in INTEGERS_OF_32_BITS:
            return {"type": "integer", "format": "int32"}
        if field.type in INTEGERS_OF_64_BITS:
            kind = INTEGERS_OF_64_BITS[field.type]
            return {"type": "string", "format": kind, "pattern": r"^-?\d+$"}
        return dict(SCALARS[field.type])


def find_map_entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    """The type of the entries of a map, None for other fields."""
    name = field.type_name.rpartition(".")[2]
    entries = (each for each in message.nested_type if each.options.map_entry)
    return next((entry for entry in entries if entry.name == name), None)


def is_repeated(field: FieldDescriptorProto) -> bool:
    """Whether a field is repeated."""
    return field.label == field.LABEL_REPEATED


def is_query_parameter(field: FieldDescriptorProto) -> bool:
    """Whether a query can have the field: it is no message, but may be a well-known type."""
    return field.type != field.TYPE_MESSAGE or field.type_name in WELL_KNOWN


def make_enum(enum: EnumDescriptorProto, number: int, comments: make_api.Comments) -> Json:
    """The schema of an enum."""
    values = [
        f"`{value.name}`: {join(parts)}"
        for position, value in enumerate(enum.value)
        if (parts := comments.at(make_api.ENUMS, number, make_api.PARTS, position))
    ]
    return {
        "type": "string",
        "description": "\n\n".join([join(comments.at(make_api.ENUMS, number)), *values]),
        "enum": [value.name for value in enum.value],
    }


def refer(name: str) -> Json:
    """A reference to the schema of a type."""
    return {"$ref": f"#/components/schemas/{name.rpartition('.')[2]}"}


def join(paragraphs: list[str]) -> str:
    """Paragraphs as one text."""
    return "\n\n".join(paragraphs)
