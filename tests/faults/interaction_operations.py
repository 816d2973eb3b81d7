"""Requests that write interactions, and a read of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from akin._errors import decode
from akin.v1 import interaction_service_pb2 as pb
from akin.v1.interaction_pb2 import Interaction

from faults.contents import make_interaction_key, read_interaction
from faults.model import ABSENT, INTERACTION, Attempt, Key
from faults.writer import BUG_CODES, CALL_SECONDS, Writer

# Users of each writer, and the interactions of each user. So few make many duplicates, and one
# transaction deletes them.
USERS = 6
INTERACTIONS = 30

# A user whose interactions all writers record and none deletes.
SHARED_USER = "shared"

REQUEST_INTERACTIONS = 8
IMPORT_MESSAGES = 3
IMPORT_MESSAGE_INTERACTIONS = 20

TYPES = ("VIEW", "CLICK", "LIKE", "PURCHASE", "SHARE", "DISLIKE", "SKIP")

# Early enough for any clock of a server.
FIRST_SECOND = 1_600_000_000


def make_interaction(user_id: str, number: int) -> Interaction:
    """Return an interaction, which is the same for the same user and number.

    Those with an odd number have an id.
    """
    interaction = Interaction(
        user_id=user_id,
        item_id=f"item-{number % 7}",
        type=TYPES[number % len(TYPES)],
        interaction_id=f"{user_id}-{number}" if number % 2 else "",
    )
    if number % 3:
        interaction.value = number / 2
    interaction.time.seconds = FIRST_SECOND + number // 2
    return interaction


def record_interactions(writer: Writer) -> None:
    """Record interactions, of which several are recorded already."""
    catalog = writer.choose_catalog()
    user_id = _choose_user(writer, catalog)
    interactions = _choose_interactions(writer, user_id, REQUEST_INTERACTIONS)
    attempts = _list_attempts(catalog, interactions)
    keys = [attempt.key for attempt in attempts]
    is_certain = user_id != SHARED_USER and not any(map(writer.recorder.is_uncertain, keys))
    count = len(_list_present(writer, keys))
    request = pb.RecordInteractionsRequest(catalog=catalog, interactions=interactions)
    stub = writer.stubs.interactions.RecordInteractions
    response = writer.call(stub, request, attempts, _read_sequences)
    if response is not None and is_certain:
        _check_count(writer, catalog, user_id, count, response.duplicate_count)


def import_interactions(writer: Writer) -> None:
    """Send several messages of interactions before their responses are read."""
    catalog = writer.choose_catalog()
    messages = []
    for _ in range(writer.rng.randint(1, IMPORT_MESSAGES)):
        user_id = _choose_user(writer, catalog)
        interactions = _choose_interactions(writer, user_id, IMPORT_MESSAGE_INTERACTIONS)
        request = pb.ImportInteractionsRequest(catalog=catalog, interactions=interactions)
        messages.append((request, _list_attempts(catalog, interactions)))
    stub = writer.stubs.interactions.ImportInteractions
    writer.stream(stub, messages, writer.choose_deadline(), _read_sequences)


def delete_interactions(writer: Writer) -> None:
    """Delete the interactions of a user, who may have none."""
    catalog, user_id = writer.choose_catalog(), _choose_own_user(writer)
    keys = _list_keys(catalog, user_id)
    if any(map(writer.recorder.is_uncertain, keys)):
        return  # the request would also delete what is not acknowledged yet
    count = len(_list_present(writer, keys))
    response = writer.call(
        writer.stubs.interactions.DeleteInteractions,
        pb.DeleteInteractionsRequest(catalog=catalog, user_id=user_id),
        [Attempt(key, None) for key in keys],
        lambda response: [response.sequence] * len(keys),
    )
    if response is not None:
        _check_count(writer, catalog, user_id, count, response.deleted_count)


def read_own_interactions(writer: Writer) -> None:
    """List the interactions of a user over another connection, as of the last write to them."""
    catalog, user_id = writer.choose_catalog(), _choose_own_user(writer)
    keys = _list_keys(catalog, user_id)
    if any(map(writer.recorder.is_uncertain, keys)):
        return
    versions = writer.recorder.model.versions
    sequence = max(versions.get(key, ABSENT).sequence for key in keys)
    request = pb.ListInteractionsRequest(catalog=catalog, user_id=user_id, min_sequence=sequence)
    try:
        response = writer.other_stubs.interactions.ListInteractions(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        if decode(exc).code in BUG_CODES:
            problem = f"ListInteractions failed: {decode(exc)}"
            writer.recorder.report("wrong", Key(catalog, INTERACTION, user_id), problem)
        return
    listed = [make_interaction_key(catalog, interaction) for interaction in response.interactions]
    present = _list_present(writer, keys)
    if sorted(listed) != sorted(present):
        kind = "lost" if {*present} - {*listed} else "doubled"
        problem = f"expected {present}, found {listed}"
        writer.recorder.report(kind, Key(catalog, INTERACTION, user_id), problem)


def _choose_own_user(writer: Writer) -> str:
    return f"{writer.name}-{writer.rng.randrange(USERS)}"


def _choose_user(writer: Writer, catalog: str) -> str:
    is_shared = catalog == "default" and writer.rng.random() < 0.2
    return SHARED_USER if is_shared else _choose_own_user(writer)


def _choose_interactions(writer: Writer, user_id: str, limit: int) -> list[Interaction]:
    numbers = writer.rng.sample(range(INTERACTIONS), writer.rng.randint(1, limit))
    return [make_interaction(user_id, number) for number in numbers]


def _list_attempts(catalog: str, interactions: Iterable[Interaction]) -> list[Attempt]:
    return [
        Attempt(make_interaction_key(catalog, interaction), read_interaction(interaction))
        for interaction in interactions
    ]


def _list_keys(catalog: str, user_id: str) -> list[Key]:
    """Return the keys of all interactions that a user can have."""
    return [
        make_interaction_key(catalog, make_interaction(user_id, number))
        for number in range(INTERACTIONS)
    ]


def _list_present(writer: Writer, keys: Iterable[Key]) -> list[Key]:
    """Return the keys whose acknowledged state has an interaction."""
    versions = writer.recorder.model.versions
    return [key for key in keys if versions.get(key, ABSENT).content is not None]


def _read_sequences(response: Any) -> Sequence[int]:
    """Return the sequence number of the request for each of its interactions."""
    return [response.sequence] * (response.recorded_count + response.duplicate_count)


def _check_count(
    writer: Writer, catalog: str, user_id: str, expected_count: int, count: int
) -> None:
    """Report that a request met another number of present interactions than was acknowledged."""
    if count != expected_count:
        kind = "lost" if count < expected_count else "doubled"
        problem = f"the request met {count} interactions of the user, not {expected_count}"
        writer.recorder.report(kind, Key(catalog, INTERACTION, user_id), problem)
