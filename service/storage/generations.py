"""Catalogs and their generations.

A generation is all items of a catalog as vectors of one space. One serves. From the start of a
re-embedding until the switch there is a next one, and from the switch until its commit or rollback
a previous one; every write goes to both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service import errors
from service.domain import limits
from service.domain.catalog_settings import DEFAULT_SETTINGS, CatalogSettings
from service.domain.generations import (
    DEFAULT_CATALOG,
    CatalogRecord,
    Generation,
    GenerationState,
)
from service.domain.index_kinds import IndexKind
from service.domain.space_changes import explain_other_space
from service.domain.spaces import Model, VectorStorage
from service.domain.text_formats import TextFormat
from service.storage.database import REMOVED_STATES, Database
from service.storage.generation_rows import (
    insert_catalog,
    insert_generation,
    note_change,
    read_catalog_again,
    read_catalogs,
    set_state,
)
from service.storage.records import NEVER_US
from service.storage.reembedding_checks import (
    forbid_during_reembedding,
    make_not_committed,
    make_not_reembedded,
    require_previous,
)
from service.storage.sql import Connection
from service.storage.writer import Transaction


class GenerationStore:
    """Catalogs and generations on disk.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_catalogs(self) -> Mapping[str, CatalogRecord]:
        """Return all catalogs, by name."""
        return await self._database.read(read_catalogs)

    async def get_version(self) -> int:
        """Return a number that grows with every change of catalogs and generations."""

        def query(connection: Connection) -> int:
            (version,) = connection.execute(
                "SELECT value FROM counters WHERE name = 'catalogs'"
            ).fetchone()
            return int(version)

        return await self._database.read(query)

    async def open_default(
        self, model: Model, index: IndexKind = IndexKind.MEMORY
    ) -> CatalogRecord:
        """Return the default catalog, created if it is missing, for the model of the settings.

        A catalog with a model of its own keeps it.

        Args:
            model: the model of the settings.
            index: the kind of index of a new catalog; one that exists keeps its own.

        Raises:
            SpaceMismatch: its vectors belong to another space.
        """

        def operation(transaction: Transaction) -> CatalogRecord:
            catalog = read_catalogs(transaction.connection).get(DEFAULT_CATALOG)
            if catalog is None:
                return insert_catalog(
                    transaction,
                    DEFAULT_CATALOG,
                    model,
                    VectorStorage.UNSPECIFIED,
                    TextFormat.PLAIN,
                    DEFAULT_SETTINGS,
                    index=index,
                    own_model=False,
                )
            if catalog.own_model:
                return catalog  # a switch has come since the caller chose the model
            space = catalog.serving.model.space
            if space != model.space:
                raise errors.SpaceMismatch(explain_other_space(DEFAULT_CATALOG, space, model))
            if catalog.serving.model != model:
                transaction.connection.execute(
                    "UPDATE generations SET dimensions_asked = ? WHERE generation_id = ?",
                    (model.requested_dimensions or 0, catalog.serving.generation.generation_id),
                )
            return catalog

        return await self._database.write(operation)

    async def create_catalog(  # noqa: PLR0913  (each is a column, except for the limit)
        self,
        name: str,
        model: Model,
        storage: VectorStorage,
        text_format: TextFormat = TextFormat.PLAIN,
        settings: CatalogSettings = DEFAULT_SETTINGS,
        *,
        index: IndexKind = IndexKind.MEMORY,
        max_catalogs: int = limits.CATALOGS,
    ) -> CatalogRecord:
        """Create a catalog with a model of its own.

        Raises:
            CatalogExists: a catalog has the name.
            TooManyCatalogs: the limit of catalogs is reached.
        """

        def operation(transaction: Transaction) -> CatalogRecord:
            catalogs = read_catalogs(transaction.connection)
            if name in catalogs:
                raise errors.CatalogExists(f"catalog {name!r} exists already")
            if len(catalogs) >= max_catalogs:
                raise errors.TooManyCatalogs(
                    f"there are {len(catalogs)} catalogs; AKIN_MAX_CATALOGS is {max_catalogs}"
                )
            note_change(transaction)
            return insert_catalog(
                transaction,
                name,
                model,
                storage,
                text_format,
                settings,
                index=index,
                own_model=True,
            )

        return await self._database.write(operation)

    async def delete_catalog(self, name: str) -> bool:
        """Delete a catalog; its rows are removed later. Return False if it is missing."""

        def operation(transaction: Transaction) -> bool:
            connection = transaction.connection
            row = connection.execute(
                "UPDATE catalogs SET name = NULL WHERE name = ? RETURNING catalog_id", (name,)
            ).fetchone()
            if row is None:
                return False
            connection.execute(
                f"""UPDATE generations SET state = '{GenerationState.DROPPED}'
                    WHERE catalog_id = ? AND state NOT IN {REMOVED_STATES}""",
                row,
            )
            note_change(transaction)
            return True

        return await self._database.write(operation)

    async def change_index(self, catalog: CatalogRecord, index: IndexKind) -> None:
        """Let a kind of index serve a catalog, and end a change that is under way.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingUnderWay: the catalog has another index, and a next generation.
            ReembeddingNotCommitted: the catalog has another index, and a previous generation.
        """
        await self._set_index(catalog, index, lambda _record: (index, None))

    async def start_index_change(self, catalog: CatalogRecord, index: IndexKind) -> None:
        """Let a catalog change to a kind of index; its present one cancels a change.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingUnderWay: the catalog has another index, and a next generation.
            ReembeddingNotCommitted: the catalog has another index, and a previous generation.
        """
        await self._set_index(
            catalog,
            index,
            lambda record: (record.index, None if index is record.index else index),
        )

    async def _set_index(
        self,
        catalog: CatalogRecord,
        requested: IndexKind,
        choose: Callable[[CatalogRecord], tuple[IndexKind, IndexKind | None]],
    ) -> None:
        """Set the index of a catalog and its next one, given what it is now.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingUnderWay, ReembeddingNotCommitted: the requested index is another one, and
                the catalog has a next or a previous generation.
        """

        def operation(transaction: Transaction) -> None:
            record = read_catalog_again(transaction.connection, catalog)
            if requested is not record.index:
                forbid_during_reembedding(record)
            index, next_index = choose(record)
            transaction.connection.execute(
                "UPDATE catalogs SET index_kind = ?, next_index_kind = ? WHERE catalog_id = ?",
                (index.value, next_index and next_index.value, record.catalog_id),
            )
            note_change(transaction)

        await self._database.write(operation)

    async def finish_index_change(self, catalog: CatalogRecord) -> bool:
        """Let the next index of a catalog serve.

        Returns:
            False if the catalog does not change its index, or was deleted; then nothing changes.
        """

        def operation(transaction: Transaction) -> bool:
            changed_count = transaction.connection.execute(
                """UPDATE catalogs SET index_kind = next_index_kind, next_index_kind = NULL
                   WHERE catalog_id = ? AND name IS NOT NULL AND next_index_kind IS NOT NULL""",
                (catalog.catalog_id,),
            ).rowcount
            if changed_count:
                note_change(transaction)
            return changed_count == 1

        return await self._database.write(operation)

    async def preview_next(self, catalog: CatalogRecord, model: Model) -> Generation:
        """Return what a next generation would be; nothing is stored.

        Its id is 0, and its space id is 0 if nothing was ever embedded in the space.
        """

        def query(connection: Connection) -> Generation:
            row = connection.execute(
                "SELECT space_id FROM spaces WHERE fingerprint = ?", (model.space.fingerprint,)
            ).fetchone()
            space_id = 0 if row is None else int(row[0])
            text_format = catalog.serving.generation.text_format
            return Generation(catalog.catalog_id, catalog.name, 0, space_id, text_format)

        return await self._database.read(query)

    async def start_next(self, catalog: CatalogRecord, model: Model) -> None:
        """Start a next generation.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingUnderWay: the catalog has a next generation.
            ReembeddingNotCommitted: the catalog has a previous generation.
            ReindexUnderWay: the catalog changes its index.
        """

        def operation(transaction: Transaction) -> None:
            record = read_catalog_again(transaction.connection, catalog)
            forbid_during_reembedding(record)
            if record.next_index is not None:
                raise errors.ReindexUnderWay(f"catalog {record.name!r} changes its index")
            insert_generation(transaction, catalog.catalog_id, model, GenerationState.EMBEDDING)
            note_change(transaction)

        await self._database.write(operation)

    async def start_indexing(self, generation: Generation) -> None:
        """Note that the next generation has all its vectors and that its index is being built."""
        await self._database.write(
            lambda transaction: set_state(transaction, generation, GenerationState.INDEXING)
        )

    async def note_problem(self, generation: Generation, reason: str, message: str) -> None:
        """Note the error that stops the embedding of a generation.

        Args:
            generation: the generation.
            reason: the reason code of the error; empty if there is none.
            message: the explanation of the error; empty if there is none.
        """

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                """UPDATE generations SET problem_reason = ?, problem_message = ?
                   WHERE generation_id = ?""",
                (reason, message, generation.generation_id),
            )

        await self._database.write(operation)

    async def switch(self, serving: Generation, next_: Generation) -> bool:
        """Make the next generation serve, and keep the serving one as the previous one.

        Returns:
            False if the next generation is not indexing, or if an item is pending in it alone that
            is neither rejected nor failed.
        """

        def operation(transaction: Transaction) -> bool:
            connection = transaction.connection
            (is_behind,) = connection.execute(
                """SELECT EXISTS (SELECT 1 FROM pending
                   WHERE generation_id = :next AND next_attempt_us < :never
                   AND reason != :failed AND item_key NOT IN
                       (SELECT item_key FROM pending WHERE generation_id = :serving))""",
                {
                    "next": next_.generation_id,
                    "serving": serving.generation_id,
                    "never": NEVER_US,
                    "failed": errors.TextFailed.reason,
                },
            ).fetchone()
            row = connection.execute(
                "SELECT state FROM generations WHERE generation_id = ?", (next_.generation_id,)
            ).fetchone()
            if is_behind or row != (GenerationState.INDEXING,):
                return False
            set_state(transaction, serving, GenerationState.PREVIOUS)
            set_state(transaction, next_, GenerationState.SERVING)
            connection.execute(
                "UPDATE catalogs SET own_model = TRUE WHERE catalog_id = ?", (next_.catalog_id,)
            )
            return True

        return await self._database.write(operation)

    async def cancel(self, catalog: CatalogRecord) -> None:
        """Drop the next generation, and keep its vectors for a later re-embedding.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingNotCommitted: the switch is done.
        """

        def operation(transaction: Transaction) -> None:
            record = read_catalog_again(transaction.connection, catalog)
            if record.previous is not None:
                raise make_not_committed(record)
            if record.next is None:
                raise make_not_reembedded(record)
            set_state(transaction, record.next.generation, GenerationState.CANCELLED)

        await self._database.write(operation)

    async def rollback(self, catalog: CatalogRecord) -> None:
        """Make the previous generation serve again, and drop the serving one but not its vectors.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingUnderWay: the switch is not done yet.
        """

        def operation(transaction: Transaction) -> None:
            record = read_catalog_again(transaction.connection, catalog)
            previous = require_previous(record)
            set_state(transaction, previous.generation, GenerationState.SERVING)
            set_state(transaction, record.serving.generation, GenerationState.CANCELLED)

        await self._database.write(operation)

    async def commit(self, catalog: CatalogRecord) -> None:
        """Drop the previous generation; the purge removes vectors that nothing uses then.

        Raises:
            CatalogNotFound: the catalog was deleted.
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingUnderWay: the switch is not done yet.
        """

        def operation(transaction: Transaction) -> None:
            record = read_catalog_again(transaction.connection, catalog)
            previous = require_previous(record)
            set_state(transaction, previous.generation, GenerationState.DROPPED)

        await self._database.write(operation)
