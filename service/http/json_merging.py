"""Sets the fields of messages from their JSON form, and finds what is invalid in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service import errors
from service.domain import limits
from service.domain.violations import Violation
from service.http.json_messages import (
    BODY,
    MAX_VIOLATIONS,
    describe_type,
    find_field,
    get_descriptor,
    get_map_value,
    is_map,
    is_structured,
)

# No list of a valid request has more entries, and no attributes more values: a vector can have as
# many dimensions, and all attributes of an item as many bytes.
MAX_ENTRIES = limits.DIMENSIONS

# Values that are checked to explain why a document is invalid, each of which takes 10 us.
MAX_CHECKS = 2_000

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

# Messages that have no fields in JSON, but any value.
_JSON_TYPES = {f"google.protobuf.{name}" for name in ("ListValue", "Struct", "Value")}


def merge_json(value: object, message: Message, path: str = "") -> None:
    """Set the fields of a message that are in its JSON form.

    Args:
        value: the JSON form.
        message: the message to fill.
        path: the place of the message in the request; empty for the request itself.

    Raises:
        UnexplainedFailure: the value is not the JSON form of such a message.
    """
    descriptor = get_descriptor(message)
    try:
        if isinstance(value, dict) and _can_convert(value, descriptor):
            json_format.ParseDict(value, message)
            return
    except _FAILURES:
        pass
    raise UnexplainedFailure(value, descriptor, path)


class UnexplainedFailure(Exception):
    """A value is not the JSON form of a message; to find why takes longer than to convert it.

    Args:
        value: the value.
        descriptor: the message.
        path: the place of the message in the request; empty for the request itself.
    """

    def __init__(self, value: object, descriptor: Descriptor, path: str) -> None:
        super().__init__()
        self._value = value
        self._descriptor = descriptor
        self._path = path

    def explain(self) -> errors.InvalidRequest:
        """Return the error with the first invalid fields."""
        with suppress(RecursionError):
            found = _Explanation().find_violations(self._value, self._descriptor, self._path)
            violations = list(islice(found, MAX_VIOLATIONS))
            if violations:
                return errors.InvalidRequest(violations)
        description = f"must be the JSON form of {self._descriptor.full_name}, without deep nesting"
        return errors.invalid_field(self._path or BODY, description)


class _FieldType(NamedTuple):
    """A field: its number, its message if that has fields, and whether its values are any JSON."""

    number: int
    message: Descriptor | None
    is_json: bool


@cache
def _list_fields(descriptor: Descriptor) -> dict[str, _FieldType]:
    """Return the fields of a message by both of their names."""
    return {
        name: _FieldType(
            field.number,
            field.message_type if is_structured(field) else None,
            _is_json(field),
        )
        for field in descriptor.fields
        for name in (field.name, field.camelcase_name)
    }


def _can_convert(value: dict[str, object], descriptor: Descriptor) -> bool:
    """Return false for what ParseDict accepts, or takes seconds to convert, and is invalid.

    These are fields that are given under both of their names, and long lists.
    """
    fields = _list_fields(descriptor)
    numbers = set()
    for name, part in value.items():
        if name not in fields:
            continue
        number, message, is_json = fields[name]
        if number in numbers or _is_long(part, is_json=is_json):
            return False
        numbers.add(number)
        if message is not None:
            parts = part if isinstance(part, list) else [part]
            if not all(_can_convert(each, message) for each in parts if isinstance(each, dict)):
                return False
    return True


def _is_json(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name in _JSON_TYPES


def _is_long(value: object, *, is_json: bool) -> bool:
    """Return whether a field has more than MAX_ENTRIES, on all levels if it can be any JSON."""
    if not is_json:
        return isinstance(value, list) and len(value) > MAX_ENTRIES
    count = 0
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict | list):
            count += len(part)
            if count > MAX_ENTRIES:
                return True
            rest += part.values() if isinstance(part, dict) else part
    return False


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
        if _is_long(value, is_json=_is_json(field)):
            yield Violation(place, f"must have at most {MAX_ENTRIES} entries")
        elif is_map(field):
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
        elif not (isinstance(value, str) and field.type == FieldDescriptor.TYPE_STRING) and (
            not self._can_parse([value] if field.is_repeated else value, field)
        ):
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
