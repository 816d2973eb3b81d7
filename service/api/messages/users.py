"""Between the messages of users and domain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import user_pb2

from service import errors
from service.api.messages.pages import read_page_token, write_page_token
from service.api.messages.timestamps import timestamp
from service.api.status import status
from service.domain import limits
from service.domain.users import LikedItem, Preference, StoredUser, User
from service.domain.validation import (
    id_violations,
    page_violations,
    read_violations,
    update_mask_violations,
    user_violations,
    write_violations,
)
from service.domain.violations import Violation
from service.domain.writes import UserField, UserUpdate, UserUpsert

# Marks the page tokens of users, which must not continue a list of items.
USER_LIST = b"users"


@dataclass(frozen=True, slots=True)
class UserListQuery:
    """A page of users: those after `after`, in ascending byte order of ids."""

    after: str
    page_size: int


def parse_upsert_user(request: pb.UpsertUserRequest) -> UserUpsert:
    """Return the user to store.

    Raises:
        InvalidRequest: with every violation.
    """
    user = read_user(request.user)
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    errors.raise_if_invalid(
        (
            *write_violations(request.catalog, expected),
            *user_violations(user, "user"),
        )
    )
    return UserUpsert(user, expected)


def parse_update_user(request: pb.UpdateUserRequest) -> UserUpdate:
    """Return the changes of a user.

    Raises:
        InvalidRequest: with every violation.
    """
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    violations = [*write_violations(request.catalog, expected, min_expected=1)]
    user = read_user(request.user)
    fields = _read_update_fields(request, violations)
    user = User(
        user.user_id,
        user.preferences if UserField.PREFERENCES in fields else (),
        user.liked_items if UserField.LIKED_ITEMS in fields else (),
    )
    violations += user_violations(user, "user")
    if violations:
        raise errors.InvalidRequest(violations)
    return UserUpdate(user, fields, expected)


def _read_update_fields(
    request: pb.UpdateUserRequest, violations: list[Violation]
) -> frozenset[UserField]:
    """Return the fields to change; by default those that are not empty."""
    paths = set(request.update_mask.paths)
    violations += update_mask_violations(request.update_mask.paths)
    if paths == {"*"}:
        return frozenset(UserField)
    if not paths:
        is_set = {
            UserField.PREFERENCES: bool(request.user.preferences),
            UserField.LIKED_ITEMS: bool(request.user.liked_items),
        }
        fields = frozenset(field for field in UserField if is_set[field])
        if not fields:
            rule = "must have a path, or the user must have a field to change"
            violations.append(Violation("update_mask", rule))
        return fields
    names = {field.value for field in UserField}
    if paths - names - {"*"}:
        rule = "must have only the paths preferences, liked_items or *"
        violations.append(Violation("update_mask", rule))
    return frozenset(UserField(path) for path in paths & names)


def parse_import_users(request: pb.ImportUsersRequest) -> list[User | errors.InvalidRequest]:
    """Return each user of a message, or why it is invalid.

    Raises:
        InvalidRequest: the catalog is invalid, or there are too many users.
    """
    violations = [*write_violations(request.catalog)]
    if len(request.users) > limits.IMPORT_USERS:
        rule = f"must have at most {limits.IMPORT_USERS} entries"
        violations.append(Violation("users", rule))
    if violations:
        raise errors.InvalidRequest(violations)
    return [_parse_import_user(message) for message in request.users]


def _parse_import_user(message: user_pb2.User) -> User | errors.InvalidRequest:
    user = read_user(message)
    violations = tuple(user_violations(user, "user"))
    return errors.InvalidRequest(violations) if violations else user


def parse_get_user(request: pb.GetUserRequest) -> str:
    """Return the id of the user.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(
        (
            *read_violations(request.catalog, request.min_sequence),
            *id_violations(request.user_id, "user_id"),
        )
    )
    return request.user_id


def parse_list_users(request: pb.ListUsersRequest) -> UserListQuery:
    """Return which users to list.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*read_violations(request.catalog, request.min_sequence)]
    after = read_page_token(request.page_token, request.catalog, USER_LIST, violations)
    page_size = request.page_size or limits.PAGE_ITEMS_DEFAULT
    violations += page_violations(page_size)
    if violations:
        raise errors.InvalidRequest(violations)
    return UserListQuery(after, page_size)


def parse_delete_user(request: pb.DeleteUserRequest) -> str:
    """Return the id of the user.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(
        (*write_violations(request.catalog), *id_violations(request.user_id, "user_id"))
    )
    return request.user_id


def read_user(message: user_pb2.User) -> User:
    """Return the user of a message; a weight of 0 becomes 1.

    Of a list that is too long, one entry too many is read, so that validation reports it.
    """
    return User(
        message.user_id,
        tuple(
            Preference(preference.text, preference.weight or 1.0)
            for preference in message.preferences[: limits.PREFERENCES + 1]
        ),
        tuple(
            LikedItem(liked.item_id, liked.weight or 1.0)
            for liked in message.liked_items[: limits.LIKED_ITEMS + 1]
        ),
    )


def user_message(stored: StoredUser) -> user_pb2.User:
    """Return the message of a stored user."""
    return user_pb2.User(
        user_id=stored.user.user_id,
        preferences=[
            user_pb2.Preference(text=preference.text, weight=preference.weight)
            for preference in stored.user.preferences
        ],
        liked_items=[
            user_pb2.LikedItem(item_id=liked.item_id, weight=liked.weight)
            for liked in stored.user.liked_items
        ],
        sequence=stored.sequence,
        update_time=timestamp(stored.update_time_us),
    )


def list_users_response(
    users: Sequence[StoredUser], last_id: str, total: int, request: pb.ListUsersRequest
) -> pb.ListUsersResponse:
    """Return a page of users; `last_id` is empty on the last page."""
    return pb.ListUsersResponse(
        users=map(user_message, users),
        next_page_token=write_page_token(last_id, request.catalog, USER_LIST),
        total_size=total,
    )


def user_result(user_id: str, outcome: StoredUser | errors.AkinError | None) -> user_pb2.UserResult:
    """Return the outcome for one imported user; None means that it is valid and not stored."""
    if outcome is None:
        return user_pb2.UserResult(user_id=user_id)
    user_id = user_id[: limits.ID_BYTES]  # a longer id is invalid and need not return whole
    if isinstance(outcome, StoredUser):
        return user_pb2.UserResult(user_id=user_id, sequence=outcome.sequence)
    error = status(outcome)
    return user_pb2.UserResult(
        user_id=user_id, code=error.code, message=error.message, reason=outcome.reason
    )
