"""The settings of catalogs: how they recommend, and how they learn from interactions."""

from __future__ import annotations

from collections.abc import Collection

from service import errors
from service.domain.catalog_settings import CatalogSettings, SettingsField
from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind, IndexKinds
from service.storage.database import Database
from service.storage.generation_rows import (
    SETTINGS_COLUMNS,
    note_change,
    read_settings_columns,
    write_settings_columns,
)
from service.storage.writer import Transaction


class CatalogSettingsStore:
    """The settings of catalogs on disk.

    Both methods can raise StoreUnavailable and StoreCorrupted, and `update` also Overloaded and
    StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, generation: Generation) -> tuple[CatalogSettings, IndexKinds]:
        """Return the settings and the kinds of index of a catalog, of any generation of it.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        row = await self._database.read(
            lambda connection: connection.execute(
                f"""SELECT index_kind, next_index_kind, {", ".join(SETTINGS_COLUMNS)} FROM catalogs
                    WHERE catalog_id = ? AND name IS NOT NULL""",
                (generation.catalog_id,),
            ).fetchone()
        )
        if row is None:
            raise errors.CatalogNotFound(f"catalog {generation.name!r} does not exist")
        index, next_index, *columns = row
        kinds = IndexKinds(IndexKind(index), None if next_index is None else IndexKind(next_index))
        return read_settings_columns(*columns), kinds

    async def update(
        self, name: str, settings: CatalogSettings, fields: Collection[SettingsField]
    ) -> None:
        """Change some settings of a catalog; the others stay as they are.

        Raises:
            CatalogNotFound: the catalog does not exist.
        """
        values = dict(zip(SETTINGS_COLUMNS, write_settings_columns(settings), strict=True))
        assignments = ", ".join(f"{column} = ?" for column in fields)

        def operation(transaction: Transaction) -> None:
            changed_count = transaction.connection.execute(
                f"UPDATE catalogs SET {assignments} WHERE name = ?",
                (*(values[column] for column in fields), name),
            ).rowcount
            if not changed_count:
                raise errors.CatalogNotFound(f"catalog {name!r} does not exist")
            note_change(transaction)

        await self._database.write(operation)
