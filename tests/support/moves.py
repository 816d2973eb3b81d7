"""Stores with rows in every table, and what moves make of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.users import LikedItem, Preference, User
from service.storage.data_folder import DATABASE
from service.storage.moving.merging import TableSummary, summarize_rows
from service.storage.moving.move_addresses import open_move
from service.storage.moving.moved_tables import MOVED_TABLES
from service.storage.moving.moves import (
    MoveResult,
    Progress,
    copy_store,
    finish_move,
)
from service.storage.opening import open_database
from service.storage.stores import Stores
from support.clock import FakeClock
from support.postgres import database_of, query_database
from support.stores import chunks_of, indexed, opened, pending, upsert_user

# Rows that the API of the stores would write only in rare states, one statement for each table.
RARE_ROWS = """
    INSERT INTO catalogs
        (catalog_id, name, vector_storage, own_model, new_item_boost, ranking, prior, index_kind,
         next_index_kind) VALUES
        (7, NULL, 'float16', 1, 0.1, 'mean', '["r", 0.5]', 'shared', 'memory'),
        (8, NULL, '', 0, 0, '', '', 'memory', NULL);
    INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us, cost_usd)
        VALUES (7, 1, 256, 'dropped', 5, 0.30000000000000004);
    INSERT INTO pending_users VALUES (1, 1, 9223372036854775807);
    INSERT INTO token_usage VALUES ('2026-01-31', 12, 1e-9), ('2026-02-01', 0, 0.1);
    INSERT INTO embedding_requests (owner, process, space_id, is_sent, prompt_tokens, cost_usd,
        reserved_usd, expire_us) VALUES ('o', 'p', 1, 1, 1000, 0.25, 0.5, 77),
        ('o', 'p', 1, 0, 10, 0.5, 0, 78);
    INSERT INTO leased_texts VALUES (1, x'00ff', 1);
    INSERT INTO query_vectors (space_id, text_hash, vector) VALUES (1, x'5c', x'000a0d5c09');
    INSERT INTO interactions VALUES (1, 'ann', 5, 'a', 'view', '', NULL, ''),
        (1, 'ann', 5, 'a', 'view', 'x1', -0.5, 'r'), (1, 'Ann', 6, 'é', 'buy', '', 2, ''),
        (1, '\U00010000', 6, 'b', 'buy', '', 0, ''), (1, '\uffff', 6, 'b', 'buy', '', 0, '');
    INSERT INTO click_through VALUES (1, 20000, 'user', 'text', 3, 1);
    INSERT INTO clicked_responses VALUES (1, 20000, x'01'), (1, 20000, x'0102'), (1, 20000, x'ff');
    INSERT INTO behavior_models VALUES (1, 6, '{"a": "\\"}');
    INSERT INTO behavior_model_pieces VALUES (1, 6, 'gains', 0, x'00'), (1, 6, 'gains', 1, x'01');
"""

# Texts that formats of text could spoil.
TEXTS = ["green tea", "a\0b\x1aE\x1aN\x1a", "\\N", "\\.", "tab\tand\nline\r", "\U0001f375"]


async def fill_folder(folder: Path) -> None:
    """Create a store in a folder, with rows in every table."""
    async with opened(folder, FakeClock()) as (stores, generation):
        items = [indexed(f"i{number}", text) for number, text in enumerate(TEXTS)]
        await stores.items.upsert_many(generation, items)
        await stores.items.upsert_many(generation, [pending("waits", "black tea")])
        await stores.items.upsert_many(generation, [indexed(f"d{n}", f"t{n}") for n in range(30)])
        await stores.items.delete_many(generation, [f"d{number}" for number in range(20)])
        # The highest key is of no row any more.
        await stores.items.upsert_many(generation, [indexed("last", "last")])
        await stores.items.delete_many(generation, ["last"])
        await stores.unused_rows.remove_tombstones(1, stores.database.commits.last_sequence)
        preference = Preference("likes \0 tea", 0.1)
        user = User("ann", (preference,), (LikedItem("i1"), LikedItem("i2")))
        await upsert_user(stores, generation, user, chunks_of("likes tea"))
    execute_file(folder, RARE_ROWS)


@dataclass(frozen=True)
class MovedStore:
    """A store of a test: the file in a folder, or the database that stands for the folder."""

    folder: Path
    is_file: bool

    @property
    def address(self) -> str:
        """Its address for moves."""
        return folder_address(self.folder) if self.is_file else database_of(self.folder)

    def open(self) -> Stores:
        """Open the stores, or raise what a server at its start would."""
        address = "" if self.is_file else database_of(self.folder)
        return Stores.over(open_database(self.folder, FakeClock(), address=address))

    def execute(self, script: str) -> None:
        """Run statements in the language of both databases."""
        if self.is_file:
            execute_file(self.folder, script)
        else:
            query_database(self.folder, script)

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        if self.is_file:
            with closing(sqlite3.connect(self.folder / DATABASE)) as connection:
                return connection.execute(query).fetchall()
        return query_database(self.folder, query)


async def fill(store: MovedStore) -> None:
    """Create a store with rows in every table."""
    if store.is_file:
        await fill_folder(store.folder)
        return
    folder = store.folder.with_name(f"{store.folder.name}-origin")
    await fill_folder(folder)
    finish(folder_address(folder), store.address)


def execute_file(folder: Path, script: str) -> None:
    """Run statements in the database file of a folder."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.executescript(script)


def folder_address(folder: Path) -> str:
    """The address of a data folder for moves."""
    return f"sqlite://{folder}"


def ignore(progress: Progress) -> None:
    """Do nothing while a move goes on."""


def copy(source: str, target: str, report: Callable[[Progress], None] = ignore) -> MoveResult:
    """Copy a store without finishing the move."""
    with open_move(source, target) as sides:
        return copy_store(*sides, report)


def finish(source: str, target: str, report: Callable[[Progress], None] = ignore) -> MoveResult:
    """Move a store that no server uses."""
    with open_move(source, target) as sides:
        return finish_move(*sides, report)


def summaries(address: str, spare: Path) -> dict[str, TableSummary]:
    """The number and the checksum of the rows of each table of a store.

    Args:
        address: of the store.
        spare: the path of a folder that does not exist.
    """
    with open_move(address, folder_address(spare)) as (source, _), source.open_moment() as moment:
        return {table.name: summarize_rows(moment.read_rows(table)) for table in MOVED_TABLES}


def last_numbers(address: str, spare: Path) -> dict[str, int]:
    """The last number that each numbered table of a store gave."""
    with open_move(address, folder_address(spare)) as (source, _), source.open_moment() as moment:
        return dict(moment.read_last_numbers())
