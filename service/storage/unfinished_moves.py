"""The mark of a store that is the target of an unfinished move: no server may use it."""

from __future__ import annotations

from typing import Final, NoReturn

from service import errors

# The table exists from the beginning of a move to its end. Its row names the source.
STATE_TABLE: Final = "migration_state"


def refuse_unfinished() -> NoReturn:
    """Refuse to use the target of an unfinished move.

    Raises:
        StoreUnavailable: always.
    """
    raise errors.StoreUnavailable(
        "the store is the target of an unfinished migration: run akin migrate with --finish, or "
        "delete the store"
    )
