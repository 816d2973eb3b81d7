"""Requests and responses in the JSON form of proto3, and errors that name the invalid fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any, NoReturn, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service import errors
from service.domain.violations import Violation

BODY = "body"

# Values that are checked to explain why a document is invalid, each of which takes 10 us, and the
# violations that are named.
MAX_CHECKS = 10_000
MAX_VIOLATIONS = 100

# What json_format and the setters of messages raise for JSON of another type.
_FAILURES = (
    json_format.ParseError,
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    SystemError,
    TypeError,
    ValueError,
)

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


def merge_json(value: object, message: Message, path: str = "") -> None:
    """Set the fields of a message that are in its JSON form.

    Args:
        value: the JSON form.
        message: the message to fill.
        path: the place of the message in the request; empty for the request itself.

    Raises:
        InvalidRequest: the value is not the JSON form of such a message.
    """
    try:
        if isinstance(value, dict) and _has_unique_fields(value, get_descriptor(message)):
            json_format.ParseDict(value, message)
            return
    except _FAILURES:
        pass
    _raise_violations(value, get_descriptor(message), path)


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


def _has_unique_fields(value: dict[str, object], descriptor: Descriptor) -> bool:
    """Return whether no field is given under both of its names, which ParseDict accepts."""
    fields = _list_fields(descriptor)
    numbers = set()
    for name, part in value.items():
        if name not in fields:
            continue
        number, kind = fields[name]
        if number in numbers:
            return False
        numbers.add(number)
        if kind is not None:
            parts = part if isinstance(part, list) else [part]
            if not all(_has_unique_fields(each, kind) for each in parts if isinstance(each, dict)):
                return False
    return True


@cache
def _list_fields(descriptor: Descriptor) -> dict[str, tuple[int, Descriptor | None]]:
    """Return the number of each field by its names, and its type if that has fields."""
    return {
        name: (field.number, field.message_type if is_structured(field) else None)
        for field in descriptor.fields
        for name in (field.name, field.camelcase_name)
    }


def _raise_violations(value: object, descriptor: Descriptor, path: str) -> NoReturn:
    with suppress(RecursionError):
        violations = _Explanation().find_violations(value, descriptor, path)
        errors.raise_if_invalid(islice(violations, MAX_VIOLATIONS))
    description = f"must be the JSON form of {descriptor.full_name}, without deep nesting"
    raise errors.invalid_field(path or BODY, description)


class _Explanation:
    """Finds what is wrong with the JSON form of a message, in the first MAX_CHECKS of its values.

    No value is quoted.
    """

    def __init__(self) -> None:
        self._checks = 0

    def find_violations(
        self, value: object, descriptor: Descriptor, path: str
    ) -> Iterator[Violation]:
        """Yield the invalid fields of a message."""
        if not isinstance(value, dict):
            yield Violation(path or BODY, "must be an object")
            return
        numbers: set[int] = set()
        seen: dict[str, str] = {}
        for name, part in value.items():
            field = find_field(descriptor, name)
            place = f"{path}.{name if field is None else field.name}".removeprefix(".")
            if field is None:
                yield Violation(place, f"is not a field of {descriptor.full_name}")
                continue
            if field.number in numbers:
                yield Violation(place, "must be given once, under one of its names")
                continue
            numbers.add(field.number)
            choice = field.containing_oneof
            if choice is not None:
                if choice.name in seen and part is not None:
                    yield Violation(place, f"must not be given beside {seen[choice.name]}")
                seen[choice.name] = name
            yield from self._check_field(part, field, place)

    def _check_field(
        self, value: object, field: FieldDescriptor, place: str
    ) -> Iterator[Violation]:
        if value is None:
            return
        if is_map(field):
            if not isinstance(value, dict):
                yield Violation(place, "must be an object")
                return
            for key, part in value.items():
                if not self._can_parse({key: part}, field):
                    kind = describe_type(get_map_value(field))
                    yield Violation(f"{place}.{key}", f"must be {kind}")
        elif field.is_repeated:
            if not isinstance(value, list):
                yield Violation(place, "must be an array")
                return
            for position, part in enumerate(value):
                yield from self._check_value(part, field, f"{place}[{position}]")
        else:
            yield from self._check_value(value, field, place)

    def _check_value(
        self, value: object, field: FieldDescriptor, place: str
    ) -> Iterator[Violation]:
        if is_structured(field) and field.message_type is not None:
            yield from self.find_violations(value, field.message_type, place)
        elif not self._can_parse([value] if field.is_repeated else value, field):
            yield Violation(place, f"must be {describe_type(field)}")

    def _can_parse(self, value: object, field: FieldDescriptor) -> bool:
        """Return whether a field can have a value; true if too many were checked before."""
        self._checks += 1
        if self._checks > MAX_CHECKS:
            return True
        holder: Any = field.containing_type
        try:
            json_format.ParseDict({field.name: value}, GetMessageClass(holder)())
        except _FAILURES:
            return False
        return True
