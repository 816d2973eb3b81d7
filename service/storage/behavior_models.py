"""The models that catalogs learned from likes: one-dimensional arrays by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.domain.behavior import Arrays, Blend, BlendWeights, TrainingInput, TrainingSummary
from service.storage.database import Database, ReadKind
from service.storage.sql import Connection
from service.storage.writer import Transaction

# The size of a piece of an array; to write it delays other writes by about 5 ms.
PIECE_BYTES = 1 << 20

# The share of a catalog's likes that must be later than an item for it not to be new any more.
MIN_LIKE_SHARE = 0.1

# What a piece counts among the rows of other writes, which take turns with it.
ROWS_PER_PIECE = 1_000

# The columns that identify a piece.
PIECE_KEY = 'catalog_id, train_time_us, "array", number'

# Pieces that are removed in one transaction.
PIECES_PER_REMOVAL = 16


class LikeChanges(NamedTuple):
    """The likes that a catalog has ever recorded or changed, and how often likes were deleted."""

    change_count: int
    deletion_count: int


class BehaviorModelStore:
    """Models on disk.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_train_times(self) -> Mapping[int, int]:
        """Return when the training of each catalog's model began, by catalog id."""
        return await self._database.read(
            lambda connection: dict(
                connection.execute(
                    """SELECT catalog_id, train_time_us
                       FROM behavior_models JOIN catalogs USING (catalog_id)
                       WHERE name IS NOT NULL"""
                )
            )
        )

    async def read_summary(self, catalog_id: int) -> TrainingSummary | None:
        """Return the summary of a catalog's model, or None if it has none."""
        return await self._database.read(lambda connection: _read_summary(connection, catalog_id))

    async def read_changes(self, catalog_id: int) -> LikeChanges:
        """Return how much the likes of a catalog have changed.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """

        def query(connection: Connection) -> LikeChanges:
            row = connection.execute(
                """SELECT like_change_count, like_deletion_count FROM catalogs
                   WHERE catalog_id = ? AND name IS NOT NULL""",
                (catalog_id,),
            ).fetchone()
            if row is None:
                raise errors.CatalogNotFound("the catalog was deleted")
            return LikeChanges(*row)

        return await self._database.read(query)

    async def read_all_changes(self) -> Mapping[int, LikeChanges]:
        """Return how much the likes of each catalog have changed, by catalog id."""

        def query(connection: Connection) -> Mapping[int, LikeChanges]:
            rows = connection.execute(
                """SELECT catalog_id, like_change_count, like_deletion_count FROM catalogs
                   WHERE name IS NOT NULL"""
            )
            return {catalog_id: LikeChanges(*counts) for catalog_id, *counts in rows}

        return await self._database.read(query)

    async def list_new_ids(self, catalog_id: int, item_count: int, limit: int) -> Sequence[str]:
        """Return the ids of new items, the latest first.

        An item is new until people have liked as many items since it was created as there are items
        in the catalog, and a share of MIN_LIKE_SHARE of all likes. Until then, that nobody likes it
        says little.

        Args:
            catalog_id: the catalog.
            item_count: the number of items in the catalog.
            limit: the number of ids.
        """

        def query(connection: Connection) -> Sequence[str]:
            (like_count,) = connection.execute(
                "SELECT like_change_count FROM catalogs WHERE catalog_id = ?", (catalog_id,)
            ).fetchone() or (0,)
            least = like_count - max(int(MIN_LIKE_SHARE * like_count), item_count)
            rows = connection.execute(
                """SELECT item_id FROM items INDEXED BY items_by_likes_before
                   WHERE catalog_id = ? AND likes_before > 0 AND likes_before > ? AND NOT deleted
                   ORDER BY likes_before DESC LIMIT ?""",
                (catalog_id, least, limit),
            )
            return [item_id for (item_id,) in rows]

        return await self._database.read(query, ReadKind.SCAN)

    async def load(self, catalog_id: int) -> tuple[TrainingSummary, Arrays] | None:
        """Return the model of a catalog, or None if it has none.

        Raises:
            ValueError: an array is damaged.
        """

        def query(connection: Connection) -> tuple[TrainingSummary, Arrays] | None:
            summary = _read_summary(connection, catalog_id)
            if summary is None:
                return None
            return summary, _read_arrays(connection, catalog_id, summary.train_time_us)

        # The pieces of a model are removed once the next one replaces it.
        return await self._database.read(query, ReadKind.SCAN, at_one_moment=True)

    async def save(self, catalog_id: int, summary: TrainingSummary, arrays: Arrays) -> None:
        """Replace the model of a catalog. The former one stays until the new one is whole.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        await self.remove_outdated(catalog_id)
        for name, array in arrays.items():
            for number, piece in enumerate(_split(array)):
                await self._write_piece(catalog_id, (summary.train_time_us, name, number, piece))

        def operation(transaction: Transaction) -> None:
            _require_catalog(transaction.connection, catalog_id)
            transaction.connection.execute(
                """INSERT INTO behavior_models (catalog_id, train_time_us, summary)
                   VALUES (?, ?, ?) ON CONFLICT (catalog_id) DO UPDATE SET
                   train_time_us = excluded.train_time_us, summary = excluded.summary""",
                (catalog_id, summary.train_time_us, json.dumps(asdict(summary))),
            )

        await self._database.write(operation)
        await self.remove_outdated(catalog_id)

    async def remove(self, catalog_id: int, train_time_us: int) -> None:
        """Remove the model of a catalog, if it still is the one of this training."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                "DELETE FROM behavior_models WHERE catalog_id = ? AND train_time_us = ?",
                (catalog_id, train_time_us),
            )

        await self._database.write(operation)
        await self.remove_outdated(catalog_id)

    async def list_outdated(self) -> Sequence[int]:
        """Return the ids of catalogs with pieces that do not belong to their model."""
        return await self._database.read(
            lambda connection: [
                catalog_id
                for (catalog_id,) in connection.execute(
                    """SELECT DISTINCT catalog_id FROM behavior_model_pieces AS pieces
                       WHERE NOT EXISTS (SELECT 1 FROM behavior_models AS models
                           WHERE models.catalog_id = pieces.catalog_id
                           AND models.train_time_us = pieces.train_time_us)"""
                )
            ]
        )

    async def remove_outdated(self, catalog_id: int) -> None:
        """Remove the pieces of a catalog that do not belong to its model."""

        def operation(transaction: Transaction) -> int:
            return transaction.connection.execute(
                f"""DELETE FROM behavior_model_pieces WHERE ({PIECE_KEY}) IN
                    (SELECT {PIECE_KEY} FROM behavior_model_pieces
                     WHERE catalog_id = :catalog_id AND NOT EXISTS
                         (SELECT 1 FROM behavior_models AS models
                          WHERE models.catalog_id = :catalog_id
                          AND models.train_time_us = behavior_model_pieces.train_time_us)
                     LIMIT :pieces)""",
                {"catalog_id": catalog_id, "pieces": PIECES_PER_REMOVAL},
            ).rowcount

        while await self._database.write(operation, ROWS_PER_PIECE):
            pass

    async def _write_piece(self, catalog_id: int, piece: tuple[int, str, int, bytes]) -> None:
        def operation(transaction: Transaction) -> None:
            _require_catalog(transaction.connection, catalog_id)
            transaction.connection.execute(
                "INSERT INTO behavior_model_pieces VALUES (?, ?, ?, ?, ?)", (catalog_id, *piece)
            )

        await self._database.write(operation, ROWS_PER_PIECE)


def _require_catalog(connection: Connection, catalog_id: int) -> None:
    """Check that a catalog was not deleted.

    Raises:
        CatalogNotFound: it was deleted.
    """
    row = connection.execute(
        "SELECT 1 FROM catalogs WHERE catalog_id = ? AND name IS NOT NULL", (catalog_id,)
    ).fetchone()
    if row is None:
        raise errors.CatalogNotFound("the catalog was deleted")


def _read_summary(connection: Connection, catalog_id: int) -> TrainingSummary | None:
    row = connection.execute(
        "SELECT summary FROM behavior_models WHERE catalog_id = ?", (catalog_id,)
    ).fetchone()
    if row is None:
        return None
    try:
        fields = json.loads(row[0])
        blend = fields["blend"]
        return TrainingSummary(
            **{
                **fields,
                "input": TrainingInput(**fields["input"]),
                "blend": Blend(**{**blend, "weights": BlendWeights(**blend["weights"])}),
            }
        )
    except (KeyError, TypeError, ValueError):
        return None  # of another version; the next training replaces the model


def _split(array: NDArray[Any]) -> Iterable[bytes]:
    """Yield the bytes of an array in pieces, the type of its numbers first."""
    yield array.dtype.str.encode()
    count = PIECE_BYTES // array.dtype.itemsize
    for start in range(0, len(array), count):
        yield array[start : start + count].tobytes()


def _read_arrays(connection: Connection, catalog_id: int, train_time_us: int) -> Arrays:
    """Return the arrays of a model by name.

    Raises:
        ValueError: an array is damaged.
    """
    rows = connection.execute(
        """SELECT "array", data FROM behavior_model_pieces
           WHERE catalog_id = ? AND train_time_us = ? ORDER BY "array", number""",
        (catalog_id, train_time_us),
    )
    pieces: dict[str, list[bytes]] = {}
    for name, data in rows:
        pieces.setdefault(name, []).append(data)
    try:
        return {name: _join(data) for name, data in pieces.items()}
    except (SyntaxError, TypeError, ValueError) as exc:  # the first two by a type of numbers
        raise ValueError("an array of a model is damaged") from exc


def _join(pieces: Sequence[bytes]) -> NDArray[Any]:
    """Return the array of these pieces, the reverse of `_split`."""
    type_ = pieces[0].decode()
    dtype = np.dtype(type_)
    if dtype.str != type_ or dtype.kind not in "iuf":  # NumPy accepts a good deal
        raise ValueError("an array has no type of numbers")
    return np.frombuffer(b"".join(pieces[1:]), dtype)
