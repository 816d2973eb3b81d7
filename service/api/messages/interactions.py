"""Between the messages of interactions and domain values."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from akin.v1 import interaction_pb2
from akin.v1 import interaction_service_pb2 as pb

from service import errors
from service.api.messages.pages import read_page_token, write_page_token
from service.api.messages.timestamps import read_time, timestamp
from service.api.status import status
from service.domain import limits
from service.domain.interactions import Interaction, InteractionKey
from service.domain.recommendation_ids import RecommendationIds
from service.domain.validation import (
    id_violations,
    interaction_violations,
    page_violations,
    read_violations,
    write_violations,
)
from service.domain.violations import Violation
from service.storage.interactions import InteractionPage

# Marks the page tokens of interactions; the id of the user follows.
INTERACTION_LIST = b"interactions "


@dataclass(frozen=True, slots=True)
class InteractionRules:
    """The types of a catalog, the ids of its recommendations, and the time in microseconds."""

    types: Collection[str]
    recommendation_ids: RecommendationIds
    now_us: int


@dataclass(frozen=True, slots=True)
class InteractionListQuery:
    """A page of interactions: those after a key, of one user or with an empty id of all users."""

    user_id: str
    after: InteractionKey | None
    page_size: int


def check_record_interactions(request: pb.RecordInteractionsRequest) -> None:
    """Check what does not depend on the catalog.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*write_violations(request.catalog)]
    if not 1 <= len(request.interactions) <= limits.INTERACTIONS:
        rule = f"must have 1 to {limits.INTERACTIONS} entries"
        violations.append(Violation("interactions", rule))
    errors.raise_if_invalid(violations)


def check_import_interactions(request: pb.ImportInteractionsRequest) -> None:
    """Check what does not depend on the catalog.

    Raises:
        InvalidRequest: with every violation; the whole message is invalid.
    """
    violations = [*write_violations(request.catalog)]
    if len(request.interactions) > limits.INTERACTIONS:
        rule = f"must have at most {limits.INTERACTIONS} entries"
        violations.append(Violation("interactions", rule))
    errors.raise_if_invalid(violations)


def parse_record_interactions(
    request: pb.RecordInteractionsRequest, rules: InteractionRules
) -> list[Interaction]:
    """Return the interactions of a request that was checked.

    Raises:
        InvalidRequest: with every violation of every interaction.
    """
    violations: list[Violation] = []
    interactions = []
    for position, message in enumerate(request.interactions):
        path = f"interactions[{position}]"
        interaction, faults = _read_interaction(message, path, rules)
        interactions.append(interaction)
        violations += faults
    errors.raise_if_invalid(violations)
    return interactions


def parse_import_interactions(
    request: pb.ImportInteractionsRequest, rules: InteractionRules
) -> list[Interaction | errors.InvalidRequest]:
    """Return the interactions of an import that was checked, or what makes each one invalid."""
    parsed: list[Interaction | errors.InvalidRequest] = []
    for message in request.interactions:
        interaction, violations = _read_interaction(message, "interaction", rules)
        parsed.append(errors.InvalidRequest(violations) if violations else interaction)
    return parsed


def parse_list_interactions(request: pb.ListInteractionsRequest) -> InteractionListQuery:
    """Return which interactions to list.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*read_violations(request.catalog, request.min_sequence)]
    if request.user_id:
        violations += id_violations(request.user_id, "user_id")
    list_id = INTERACTION_LIST + request.user_id.encode()
    token = read_page_token(request.page_token, request.catalog, list_id, violations)
    after = _read_key(token, violations) if token else None
    page_size = request.page_size or limits.PAGE_ITEMS_DEFAULT
    violations += page_violations(page_size)
    if violations:
        raise errors.InvalidRequest(violations)
    return InteractionListQuery(request.user_id, after, page_size)


def parse_delete_interactions(request: pb.DeleteInteractionsRequest) -> str:
    """Return the id of the user.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(
        (*write_violations(request.catalog), *id_violations(request.user_id, "user_id"))
    )
    return request.user_id


def list_interactions_response(
    page: InteractionPage, request: pb.ListInteractionsRequest
) -> pb.ListInteractionsResponse:
    """Return a page of interactions."""
    token = json.dumps(page.interactions[-1].key) if page.more else ""
    list_id = INTERACTION_LIST + request.user_id.encode()
    return pb.ListInteractionsResponse(
        interactions=map(_interaction_message, page.interactions),
        next_page_token=write_page_token(token, request.catalog, list_id),
        total_size=page.total,
    )


def list_failures(
    parsed: Sequence[Interaction | errors.InvalidRequest],
) -> list[pb.InteractionFailure]:
    """Return the failures of an import, by ascending position."""
    failures = []
    for position, entry in enumerate(parsed):
        if isinstance(entry, errors.InvalidRequest):
            error = status(entry)
            failures.append(
                pb.InteractionFailure(
                    position=position, code=error.code, reason=entry.reason, message=error.message
                )
            )
    return failures


def _read_interaction(
    message: interaction_pb2.Interaction, path: str, rules: InteractionRules
) -> tuple[Interaction, list[Violation]]:
    """Return the interaction of a message, and its violations."""
    violations: list[Violation] = []
    time_us: int | None = rules.now_us
    if message.HasField("time"):
        time_us = read_time(message.time, f"{path}.time", violations)
    key = InteractionKey(
        message.user_id,
        rules.now_us if time_us is None else time_us,
        message.item_id,
        message.type,
        message.interaction_id,
    )
    interaction = Interaction(
        key,
        message.value if message.HasField("value") else None,
        message.recommendation_id,
    )
    violations += interaction_violations(interaction, path, rules.types, rules.now_us)
    if message.recommendation_id and not rules.recommendation_ids.read(message.recommendation_id):
        rule = "must be the recommendation_id of a response for this catalog"
        violations.append(Violation(f"{path}.recommendation_id", rule))
    return interaction, violations


def _read_key(token: str, violations: list[Violation]) -> InteractionKey | None:
    """Return the key in a page token; one that this server did not write is a violation."""
    try:
        user_id, time_us, *names = json.loads(token)
        key = InteractionKey(user_id, time_us, *names)
        # Callers can forge a token. The store takes 64 bits, and no halves of surrogate pairs.
        "".join([user_id, *names]).encode()
        if type(time_us) is int and 0 <= time_us < 2**63:
            return key
    except (TypeError, ValueError, RecursionError):
        pass
    violations.append(Violation("page_token", "must be the next_page_token of the same list"))
    return None


def _interaction_message(interaction: Interaction) -> interaction_pb2.Interaction:
    key = interaction.key
    value: dict[str, Any] = {} if interaction.value is None else {"value": interaction.value}
    return interaction_pb2.Interaction(
        interaction_id=key.interaction_id,
        user_id=key.user_id,
        item_id=key.item_id,
        type=key.type,
        time=timestamp(key.time_us),
        recommendation_id=interaction.recommendation_id,
        **value,
    )
