"""Random messages of any type, from its descriptor."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from fuzz import vocabulary
from fuzz.vocabulary import Vocabulary

# Nested messages beyond this depth stay empty, so that recursive types end.
MAX_DEPTH = 7

# How likely a value is odd, for each message one of these.
ODDITIES = (0.0, 0.0, 0.03, 0.1, 0.5)

VALID_COUNTS = (0, 1, 1, 2, 3)
ODD_COUNTS = (0, 5, 101, 257, 1_001)
# Rare, because a message with this many entries takes long to make.
LARGE_COUNT, LARGE_SHARE = 10_001, 0.02

# Bounds copies of the same entries, so that lists in lists do not fill the memory.
MAX_REPEATED_BYTES = 1024 * 1024

# How often fields of messages are set that requests seldom have.
OPTIONAL_SHARES = {
    "filter": 0.5,
    "update_mask": 0.4,
    "attributes": 0.7,
    "expire_time": 0.3,
    "exclude_interactions": 0.3,
}

# Only one kind of source may have a relation, so that most requests have none.
VALID_RELATIONS = (0, 0, 0, 0, 0, 1, 2, 3)

VALID_INTEGERS = (0, 0, 1, 2, 5, 20)
VALID_NUMBERS = (0.0, 0.1, 0.5, 0.9, 1.0)
VALID_SECONDS = (4_102_444_800, 253_402_300_799)
# Interactions happened in the past. Few times make many duplicates.
PAST_SECONDS = (0, 1_700_000_000, 1_700_000_001, 1_700_000_002)


ODD_NUMBERS: dict[int, Sequence[Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
    FieldDescriptor.CPPTYPE_INT32: vocabulary.INT32,
    FieldDescriptor.CPPTYPE_INT64: vocabulary.INT64,
    FieldDescriptor.CPPTYPE_UINT32: vocabulary.UINT32,
    FieldDescriptor.CPPTYPE_UINT64: vocabulary.UINT64,
    FieldDescriptor.CPPTYPE_FLOAT: vocabulary.DOUBLES,
    FieldDescriptor.CPPTYPE_DOUBLE: vocabulary.DOUBLES,
    FieldDescriptor.CPPTYPE_ENUM: vocabulary.ENUM_NUMBERS,
}


def _list_valid(field: FieldDescriptor) -> Sequence[Any]:
    """Return the valid values of a field that is not a string."""
    if field.name == "relation":
        return VALID_RELATIONS
    if field.enum_type is not None:
        return tuple(field.enum_type.values_by_number)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return (True, False)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return VALID_NUMBERS
    return (0,) if field.name.endswith("sequence") else VALID_INTEGERS


def _count_bytes(value: object) -> int:
    return len(value) if isinstance(value, str | bytes) else 8


class MessageGenerator:
    """Makes messages whose values are partly valid and partly odd."""

    def __init__(self, rng: random.Random, words: Vocabulary) -> None:
        self._rng = rng
        self._words = words
        self._oddity = rng.choice(ODDITIES)
        self._special: dict[str, Callable[[Any, int], None]] = {
            "google.protobuf.Timestamp": self._fill_time,
            "google.protobuf.Duration": self._fill_time,
            "google.protobuf.Struct": self._fill_struct,
            "google.protobuf.Value": self._fill_value,
            "google.protobuf.ListValue": self._fill_list,
            "akin.v1.Condition": self._fill_condition,
            "akin.v1.Range": self._fill_range,
            "akin.v1.Interaction": self._fill_interaction,
            "akin.v1.UpdateCatalogRequest": self._fill_settings_update,
        }

    def make(self, descriptor: Descriptor) -> Message:
        """Return a message."""
        message = GetMessageClass(descriptor)()
        self._fill(message, 0)
        return message

    def _is_odd(self) -> bool:
        return self._rng.random() < self._oddity

    def _fill(self, message: Message, depth: int) -> None:
        special = self._special.get(message.DESCRIPTOR.full_name)
        if special is not None and not self._is_odd():
            special(message, depth)
        else:
            self._fill_fields(message, depth)

    def _fill_fields(self, message: Message, depth: int) -> None:
        descriptor: Any = message.DESCRIPTOR
        for field in self._choose_fields(descriptor):
            if field.is_repeated:
                self._fill_repeated(message, field, depth)
            elif field.message_type is None:
                setattr(message, field.name, self._make_scalar(field))
            elif depth < MAX_DEPTH:
                child = getattr(message, field.name)
                child.SetInParent()
                self._fill(child, depth + 1)

    def _choose_fields(self, descriptor: Descriptor) -> Iterator[FieldDescriptor]:
        """Yield the fields to set: of each oneof at most one."""
        rng = self._rng
        for field in descriptor.fields:
            if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
                continue
            if field.message_type is not None and not field.is_repeated:
                share = OPTIONAL_SHARES.get(field.name, 0.95)
            else:
                share = 0.1 if field.has_presence else 0.97
            if rng.random() < share:
                yield field
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1 and rng.random() < 0.95:
                yield rng.choice(oneof.fields)

    def _fill_repeated(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        rng, values = self._rng, getattr(message, field.name)
        count = rng.choice(VALID_COUNTS)
        if self._is_odd():
            count = LARGE_COUNT if rng.random() < LARGE_SHARE else rng.choice(ODD_COUNTS)
        if field.message_type is None:
            few = [self._make_scalar(field) for _ in range(min(count, 10))]
            room = MAX_REPEATED_BYTES * len(few) // (1 + sum(map(_count_bytes, few)))
            values.extend(few[number % len(few)] for number in range(min(count, room)))
        elif field.message_type.GetOptions().map_entry:
            self._fill_map(values, field.message_type, min(count, 257), depth)
        elif depth < MAX_DEPTH:
            for _ in range(min(count, 4)):
                self._fill(values.add(), depth + 1)
            first = list(values[:1])
            room = MAX_REPEATED_BYTES // (1 + sum(entry.ByteSize() for entry in first))
            values.extend(first * min(count - len(values), room))

    def _fill_map(self, values: Any, entry: Descriptor, count: int, depth: int) -> None:
        key_field, value_field = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for number in range(count):
            key = self._make_scalar(key_field)
            if isinstance(key, str) and number >= 10:
                key = f"key-{number}"
            if value_field.message_type is None:
                values[key] = self._make_scalar(value_field)
            else:
                values[key].SetInParent()
                if depth + 1 < MAX_DEPTH and number < 20:
                    self._fill(values[key], depth + 2)

    def _make_scalar(self, field: FieldDescriptor) -> Any:
        rng, is_odd = self._rng, self._is_odd()
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.choice((0, 1, 16, 1_000)))
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._words.draw(rng, field.name, odd=is_odd)
        return rng.choice(ODD_NUMBERS[field.cpp_type] if is_odd else _list_valid(field))

    def _fill_time(self, message: Any, _depth: int) -> None:
        rng = self._rng
        message.seconds = rng.choice(vocabulary.SECONDS if self._is_odd() else VALID_SECONDS)
        message.nanos = rng.choice(vocabulary.NANOS) if self._is_odd() else 0

    def _fill_struct(self, message: Any, _depth: int) -> None:
        rng = self._rng
        facts = {
            "price": rng.choice((0.0, 4.5, 20.0)),
            "topic": rng.choice(vocabulary.TOPICS),
            "tags": rng.sample(vocabulary.TOPICS, rng.randrange(3)),
            "active": rng.random() < 0.5,
            "size": {"width": float(rng.randrange(5))},
            "published": "2026-05-04T10:00:00Z",
            "note": vocabulary.MARKER,
            "nothing": None,
        }
        chosen = {name: value for name, value in facts.items() if rng.random() < 0.7}
        message.update(chosen)

    def _fill_value(self, message: Any, _depth: int) -> None:
        rng = self._rng
        match rng.randrange(4):
            case 0:
                message.string_value = rng.choice(vocabulary.TOPICS)
            case 1:
                message.number_value = float(rng.choice(VALID_INTEGERS))
            case 2:
                message.bool_value = rng.random() < 0.5
            case 3:
                message.string_value = vocabulary.MARKER

    def _fill_list(self, message: Any, depth: int) -> None:
        for _ in range(self._rng.randrange(1, 4)):
            self._fill_value(message.values.add(), depth + 1)

    def _fill_condition(self, message: Any, depth: int) -> None:
        """Fill a condition of a filter; a nested filter is the only test without an attribute."""
        test = self._rng.choice(message.DESCRIPTOR.oneofs_by_name["test"].fields)
        if test.name == "filter" and depth >= MAX_DEPTH - 2:
            test = message.DESCRIPTOR.fields_by_name["range"]
        if test.message_type is None:
            setattr(message, test.name, self._make_scalar(test))
        else:
            child = getattr(message, test.name)
            child.SetInParent()
            self._fill(child, depth + 1)
        if test.name != "filter":
            message.attribute = self._words.draw(self._rng, "attribute", odd=False)

    def _fill_interaction(self, message: Any, depth: int) -> None:
        self._fill_fields(message, depth)
        if message.HasField("time") and not self._is_odd():
            message.time.seconds = self._rng.choice(PAST_SECONDS)
            message.time.nanos = 0

    def _fill_range(self, message: Any, _depth: int) -> None:
        names = self._rng.choice((("gt",), ("gte",), ("lt",), ("lte",), ("gt", "lte")))
        for name in names:
            setattr(message, name, float(self._rng.choice(VALID_INTEGERS)))

    def _fill_settings_update(self, message: Any, depth: int) -> None:
        """Fill an update of settings, whose mask has other paths than those of other updates."""
        message.catalog = self._words.draw(self._rng, "catalog", odd=False)
        self._fill(message.settings, depth + 1)
        count = self._rng.randrange(1, 1 + len(vocabulary.SETTINGS_PATHS))
        message.update_mask.paths.extend(self._rng.sample(vocabulary.SETTINGS_PATHS, count))
