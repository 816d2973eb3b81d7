"""Requests that write users."""

from __future__ import annotations

import json

from akin.v1 import recommender_service_pb2 as pb
from akin.v1.user_pb2 import LikedItem, Preference, User
from google.protobuf.field_mask_pb2 import FieldMask

from faults.contents import read_user, write_user
from faults.item_operations import delete_one, read_sequence
from faults.model import Attempt, Key
from faults.writer import CALL_SECONDS, Writer

# Users that imports write, in addition to those of single requests.
IMPORTED_USERS = 60
IMPORT_MESSAGES = 3
IMPORT_MESSAGE_USERS = 12

# Preferences are chosen from a few texts of each writer, so that few are embedded.
WEIGHTS = (-1.0, 0.5, 1.0, 2.0)


def make_user(writer: Writer, key: Key) -> User:
    """Return a user with a content that no other write has."""
    preferences = [
        Preference(text=writer.choose_text(), weight=writer.rng.choice(WEIGHTS))
        for _ in range(writer.rng.randrange(3))
    ]
    return User(user_id=key.id, preferences=preferences, liked_items=_make_likes(writer))


def _make_likes(writer: Writer) -> list[LikedItem]:
    numbers = writer.rng.sample(range(40), writer.rng.randrange(6))
    ids = [f"{writer.name}-{number}" for number in numbers]
    unique = f"write-{writer.recorder.numbers.take()}"
    return [
        LikedItem(item_id=item_id, weight=writer.rng.choice(WEIGHTS)) for item_id in (*ids, unique)
    ]


def upsert_user(writer: Writer) -> None:
    """Write a user, sometimes on the condition that it has the acknowledged version."""
    key = writer.choose_key("user")
    version = writer.get_version(key)
    request = pb.UpsertUserRequest(catalog=key.catalog, user=make_user(writer, key))
    if version is not None and writer.rng.random() < 0.2:
        request.expected_sequence = 0 if version.content is None else version.sequence
    attempt = Attempt(key, read_user(request.user))
    writer.call(writer.stubs.recommender.UpsertUser, request, [attempt], read_sequence)


def update_user(writer: Writer) -> None:
    """Change the liked items of a user."""
    key = writer.choose_present_key("user")
    version = writer.get_version(key)
    if version is None:
        return
    likes = _make_likes(writer)
    request = pb.UpdateUserRequest(
        catalog=key.catalog,
        user=User(user_id=key.id, liked_items=likes),
        update_mask=FieldMask(paths=["liked_items"]),
    )
    stub = writer.stubs.recommender.UpdateUser
    if version.content is None:
        writer.call(stub, request, [Attempt(key, None)], lambda _: [0], "USER_NOT_FOUND")
        return
    preferences = json.loads(version.content.body)["preferences"]
    content = write_user(preferences, [(like.item_id, like.weight) for like in likes])
    response = writer.call(stub, request, [Attempt(key, content)], read_sequence)
    if response is not None and read_user(response.user) != content:
        writer.recorder.report("wrong", key, f"expected {content}, got {response.user}")


def delete_user(writer: Writer) -> None:
    """Delete a user, which may be missing."""
    delete_one(writer, "user", writer.stubs.recommender.DeleteUser, pb.DeleteUserRequest)


def import_users(writer: Writer) -> None:
    """Send several messages of users before their responses are read."""
    catalog = writer.choose_catalog()
    count = writer.rng.randint(1, IMPORT_MESSAGES)
    messages = [_make_message(writer, catalog) for _ in range(count)]
    # Without vectors for their preferences, users fail alone.
    is_atomic = writer.conditions.embeds_always
    stub = writer.stubs.recommender.ImportUsers
    writer.stream(stub, messages, CALL_SECONDS, is_atomic=is_atomic)


def _make_message(writer: Writer, catalog: str) -> tuple[pb.ImportUsersRequest, list[Attempt]]:
    numbers = writer.rng.sample(range(IMPORTED_USERS), writer.rng.randint(1, IMPORT_MESSAGE_USERS))
    keys = [Key(catalog, "user", f"{writer.name}-i{number}") for number in numbers]
    users = [make_user(writer, key) for key in keys]
    attempts = [Attempt(key, read_user(user)) for key, user in zip(keys, users, strict=True)]
    return pb.ImportUsersRequest(catalog=catalog, users=users), attempts
