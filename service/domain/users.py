"""Users: their preferences and liked items."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preference:
    """A preference in words; a negative weight is a dislike."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LikedItem:
    """An item the user liked; a negative weight is a dislike."""

    item_id: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class User:
    """A person to recommend items to; liked items are oldest first."""

    user_id: str
    preferences: tuple[Preference, ...] = ()
    liked_items: tuple[LikedItem, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the store holds it."""

    user: User
    sequence: int
    update_time_us: int
