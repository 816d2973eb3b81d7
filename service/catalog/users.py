"""Writes and reads of a catalog's users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service import errors
from service.catalog.generations import CatalogGenerations, EmbeddedTexts
from service.domain import limits
from service.domain.generations import Generation
from service.domain.usage import EmbeddingUsage
from service.domain.users import StoredUser, User
from service.domain.vectors import Chunk
from service.domain.violations import Violation
from service.domain.writes import UserField, UserUpdate, UserUpsert
from service.embedding.text_embedder import to_field_error
from service.storage.records import UserWrite, require_sequence
from service.storage.users import UserStore


@dataclass(frozen=True, slots=True)
class ListedUsers:
    """A page of users; `last_id` continues the list and is empty on the last page."""

    users: Sequence[StoredUser]
    last_id: str
    total: int


@dataclass(frozen=True, slots=True)
class PreparedUsers:
    """Users of an import that are ready to be stored, or their errors, and the usage.

    Entries are None if the import only validates.
    """

    generation: Generation
    entries: Sequence[UserWrite | errors.AkinError | None]
    usage: EmbeddingUsage


class CatalogUsers:
    """The users of one catalog.

    Args:
        store: the users on disk.
        generations: embeds preferences.
    """

    def __init__(self, store: UserStore, generations: CatalogGenerations) -> None:
        self._store = store
        self._generations = generations
        self._generation = generations.serving.generation

    async def upsert(self, upsert: UserUpsert) -> tuple[StoredUser, EmbeddingUsage]:
        """Store a user with the vectors of the preferences.

        Raises:
            InvalidRequest: the model rejects a preference.
            SequenceMismatch: the user does not have the expected sequence number.
            EmbeddingUnavailable, EmbeddingRejected: a preference cannot be embedded now.
        """
        if upsert.expected_sequence is not None:  # do not pay for a user that cannot be stored
            user_id = upsert.user.user_id
            stored_user = await self._store.get(self._generation, user_id)
            require_sequence("user", user_id, stored_user, upsert.expected_sequence)
        embedded = await self._generations.embed_queries(_texts(upsert.user))
        write = _write(upsert.user, embedded)
        if isinstance(write, errors.AkinError):
            raise write
        (stored,) = await self._store.upsert_many(
            embedded.generation, [write], upsert.expected_sequence
        )
        return stored, embedded.usage

    async def update(self, update: UserUpdate) -> tuple[StoredUser, EmbeddingUsage]:
        """Change some fields of a user; only preferences in the update mask are embedded.

        Raises:
            InvalidRequest: the model rejects a preference.
            UserNotFound: the user does not exist.
            SequenceMismatch: the user does not have the expected sequence number.
            EmbeddingUnavailable, EmbeddingRejected: a preference cannot be embedded now.
        """
        chunks: Mapping[int, Sequence[Chunk]] | None = None
        usage = EmbeddingUsage()
        if UserField.PREFERENCES in update.fields:
            # Do not pay for a user that cannot be stored.
            user_id = update.user.user_id
            require_sequence("user", user_id, await self.get(user_id), update.expected_sequence)
            embedded = await self._generations.embed_queries(_texts(update.user))
            write = _write(update.user, embedded)
            if isinstance(write, errors.AkinError):
                raise write
            chunks, usage = write.chunks, embedded.usage
        stored = await self._store.update(
            self._generation,
            update.user.user_id,
            update.apply_to,
            chunks,
            update.expected_sequence,
        )
        return stored, usage

    async def prepare_import(self, users: Sequence[User | errors.InvalidRequest]) -> PreparedUsers:
        """Embed the preferences of the users of an import.

        Raises:
            Overloaded: the embedding queue is full.
        """
        texts = {text for user in users if isinstance(user, User) for text in _texts(user)}
        async with self._generations.serving.text_embedder.import_slots:
            embedded = await self._generations.embed_queries(texts)
        entries = [
            user if isinstance(user, errors.InvalidRequest) else _write(user, embedded)
            for user in users
        ]
        return PreparedUsers(embedded.generation, entries, embedded.usage)

    async def estimate_import(self, users: Sequence[User | errors.InvalidRequest]) -> PreparedUsers:
        """Estimate the usage of embedding the valid users of an import; nothing is stored."""
        texts = {text for user in users if isinstance(user, User) for text in _texts(user)}
        serving = self._generations.serving
        usage = await serving.add_cost(await serving.text_embedder.estimate_queries(texts))
        entries = [None if isinstance(user, User) else user for user in users]
        return PreparedUsers(self._generation, entries, usage)

    async def store_import(
        self, prepared: PreparedUsers
    ) -> list[StoredUser | errors.AkinError | None]:
        """Store prepared users in order."""
        writes = [entry for entry in prepared.entries if isinstance(entry, UserWrite)]
        stored = iter(await self._store.upsert_many(prepared.generation, writes) if writes else [])
        return [
            next(stored) if isinstance(entry, UserWrite) else entry for entry in prepared.entries
        ]

    async def get(self, user_id: str) -> StoredUser:
        """Return a user.

        Raises:
            UserNotFound: the user does not exist.
        """
        stored = await self._store.get(self._generation, user_id)
        if stored is None:
            raise errors.UserNotFound(f"user {user_id!r} does not exist")
        return stored

    async def list_page(self, after: str, page_size: int) -> ListedUsers:
        """Return a page of the users with ids after `after`, in ascending byte order."""
        page = await self._store.list_page(self._generation, after, page_size, limits.PAGE_BYTES)
        last_id = page.users[-1].user.user_id if page.more else ""
        return ListedUsers(page.users, last_id, page.total)

    async def delete(self, user_id: str, *, allow_missing: bool) -> int:
        """Delete a user; return the sequence number, 0 if the user did not exist.

        Raises:
            UserNotFound: the user does not exist, and `allow_missing` is false.
        """
        sequence = await self._store.delete(self._generation, user_id)
        if not sequence and not allow_missing:
            raise errors.UserNotFound(f"user {user_id!r} does not exist")
        return sequence


def _texts(user: User) -> set[str]:
    return {preference.text for preference in user.preferences}


def _write(user: User, embedded: EmbeddedTexts) -> UserWrite | errors.AkinError:
    """Return the write of a user, or why the user cannot be stored."""
    failures = [embedded.outcome.failures.get(preference.text) for preference in user.preferences]
    rejections = [
        Violation(f"user.preferences[{position}].text", failure.message)
        for position, failure in enumerate(failures)
        if isinstance(failure, errors.TextRejected)
    ]
    if rejections:
        return errors.InvalidRequest(rejections)
    for position, failure in enumerate(failures):
        if failure is not None:
            return to_field_error(failure, f"user.preferences[{position}].text")
    outcomes = {embedded.generation.generation_id: embedded.outcome, **embedded.others}
    chunks = {
        generation_id: outcome.list_chunks(_texts(user))
        for generation_id, outcome in outcomes.items()
        if outcome.is_final(_texts(user))
    }
    return UserWrite(user, chunks)
