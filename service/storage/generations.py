"""The SQL of catalogs and their generations. All of it runs inside a connection's thread.

A generation is all items of a catalog as vectors of one space. One serves; a second one is there
from the start of a re-embedding until it is finished or cancelled, and every write goes to both.
"""

from __future__ import annotations

import json
import sqlite3

from service import errors
from service.domain import limits
from service.domain.generations import (
    DEFAULT_CATALOG,
    CatalogRecord,
    Generation,
    GenerationRecord,
    GenerationState,
    LiveGeneration,
)
from service.domain.spaces import Model, Space, VectorStorage
from service.domain.usage import TokenUsage
from service.storage.records import NEVER_US
from service.storage.writer import Transaction

_GONE = "('cancelled', 'dropped')"


def catalogs(connection: sqlite3.Connection) -> dict[str, CatalogRecord]:
    """All catalogs with their generations, by name."""
    rows = connection.execute(
        f"""SELECT catalog_id, name, vector_storage, own_model, layer_id, space_id, state,
                   fingerprint, dimensions_asked, start_us, prompt_tokens, cost_usd,
                   problem
            FROM catalogs JOIN layers USING (catalog_id) JOIN spaces USING (space_id)
            WHERE name IS NOT NULL AND state NOT IN {_GONE} ORDER BY name, layer_id"""
    )
    found: dict[str, CatalogRecord] = {}
    for catalog_id, name, storage, own_model, *rest in rows.fetchall():
        generation_id, space_id, state, fingerprint, asked, start_us, tokens, cost, problem = rest
        generation = GenerationRecord(
            Generation(catalog_id, name, generation_id, space_id),
            GenerationState(state),
            Model(Space(**json.loads(fingerprint)), asked or None),
            start_us,
            TokenUsage(tokens, cost),
            problem,
        )
        others = found[name].generations if name in found else ()
        found[name] = CatalogRecord(
            catalog_id, name, VectorStorage(storage), bool(own_model), (*others, generation)
        )
    return found


def version(connection: sqlite3.Connection) -> int:
    """A number that grows with every change of catalogs and generations."""
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'catalogs'").fetchone()
    return int(value)


def space_id(connection: sqlite3.Connection, space: Space) -> int:
    """The number of a space, 0 if nothing was ever embedded in it."""
    row = connection.execute(
        "SELECT space_id FROM spaces WHERE fingerprint = ?", (space.fingerprint,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def open_default(transaction: Transaction, model: Model) -> CatalogRecord:
    """The default catalog, made if need be, for the model of the settings.

    Raises:
        SpaceMismatch: its vectors belong to another space.
    """
    known = catalogs(transaction.connection).get(DEFAULT_CATALOG)
    if known is None:
        return _insert(transaction, DEFAULT_CATALOG, model, VectorStorage.UNSPECIFIED, own=False)
    stored = known.serving.model.space
    if stored != model.space:
        raise errors.SpaceMismatch(
            f"the catalog {DEFAULT_CATALOG} was embedded as {stored.fingerprint}, but the settings "
            f"now say {model.space.fingerprint}: set the former again, and then change the model "
            "with `akin reembed`"
        )
    if known.serving.model != model:
        transaction.connection.execute(
            "UPDATE layers SET dimensions_asked = ? WHERE layer_id = ?",
            (model.requested_dimensions or 0, known.serving.generation.generation_id),
        )
    return known


def create(
    transaction: Transaction, name: str, model: Model, storage: VectorStorage
) -> CatalogRecord:
    """Makes a catalog with a model of its own.

    Raises:
        CatalogExists: there is one of that name.
        TooManyCatalogs: there are as many as there may be.
    """
    known = catalogs(transaction.connection)
    if name in known:
        raise errors.CatalogExists("there is a catalog of that name")
    if len(known) >= limits.CATALOGS:
        raise errors.TooManyCatalogs(f"there are {limits.CATALOGS} catalogs already")
    _changed(transaction)
    return _insert(transaction, name, model, storage, own=True)


def delete(transaction: Transaction, name: str) -> bool:
    """Takes a catalog's name away and has all that is in it removed; False if there is none."""
    catalog_id = _catalog_id(transaction.connection, name)
    if catalog_id is None:
        return False
    transaction.connection.execute(
        "UPDATE catalogs SET name = NULL WHERE catalog_id = ?", (catalog_id,)
    )
    transaction.connection.execute(
        f"UPDATE layers SET state = 'dropped' WHERE catalog_id = ? AND state NOT IN {_GONE}",
        (catalog_id,),
    )
    _changed(transaction)
    return True


def add_generation(transaction: Transaction, catalog: CatalogRecord, model: Model) -> None:
    """Starts a second generation.

    Raises:
        CatalogNotFound: there is no such catalog any more.
        ReembeddingUnderWay: there is a second one already.
    """
    known = _still(transaction, catalog)
    if known.other is not None:
        raise errors.ReembeddingUnderWay("finish or cancel the re-embedding before this one")
    _insert_generation(transaction, catalog.catalog_id, model, GenerationState.EMBEDDING)
    _changed(transaction)


def set_state(transaction: Transaction, generation: Generation, state: GenerationState) -> None:
    """Notes how far a generation is."""
    transaction.connection.execute(
        f"UPDATE layers SET state = ? WHERE layer_id = ? AND state NOT IN {_GONE}",
        (state.value, generation.generation_id),
    )
    _changed(transaction)


def note_problem(transaction: Transaction, generation: Generation, problem: str) -> None:
    """Notes why a generation is not filled for now; empty: it is."""
    transaction.connection.execute(
        "UPDATE layers SET problem = ? WHERE layer_id = ?", (problem, generation.generation_id)
    )


def switch(transaction: Transaction, serving: Generation, new: Generation) -> bool:
    """Has the new generation serve and keeps the former one.

    Returns:
        False if items that the former has vectors for wait for theirs in the new one.
    """
    connection = transaction.connection
    (waits,) = connection.execute(
        """SELECT EXISTS (SELECT 1 FROM pending WHERE layer_id = :new AND next_attempt_us < :never
           AND item_key NOT IN (SELECT item_key FROM pending WHERE layer_id = :serving))""",
        {"new": new.generation_id, "serving": serving.generation_id, "never": NEVER_US},
    ).fetchone()
    states = dict(
        connection.execute(
            "SELECT layer_id, state FROM layers WHERE catalog_id = ?", (new.catalog_id,)
        ).fetchall()
    )
    if waits or states.get(new.generation_id) != GenerationState.INDEXING:
        return False
    set_state(transaction, serving, GenerationState.KEPT)
    set_state(transaction, new, GenerationState.SERVING)
    connection.execute("UPDATE catalogs SET own_model = 1 WHERE catalog_id = ?", (new.catalog_id,))
    return True


def cancel(transaction: Transaction, catalog: CatalogRecord) -> None:
    """Has the new generation removed; the former one serves, again if need be.

    Raises:
        CatalogNotFound, ReembeddingNotFound: there is no catalog, or no second generation, any
        more.
    """
    known = _still(transaction, catalog)
    if known.other is None:
        raise errors.ReembeddingNotFound("the catalog is not being re-embedded")
    new, former = known.other, known.serving
    if known.other.state is GenerationState.KEPT:
        new, former = former, new
    set_state(transaction, former.generation, GenerationState.SERVING)
    set_state(transaction, new.generation, GenerationState.CANCELLED)


def finish(transaction: Transaction, catalog: CatalogRecord) -> None:
    """Has the former generation removed, with the vectors that nothing else uses.

    Raises:
        CatalogNotFound, ReembeddingNotFound: there is no catalog, or no second generation, any
        more. ReembeddingUnderWay: the new generation does not serve yet.
    """
    known = _still(transaction, catalog)
    if known.other is None:
        raise errors.ReembeddingNotFound("the catalog is not being re-embedded")
    if known.other.state is not GenerationState.KEPT:
        raise errors.ReembeddingUnderWay("the new vectors do not serve yet")
    set_state(transaction, known.other.generation, GenerationState.DROPPED)


def live_generations(connection: sqlite3.Connection, catalog_id: int) -> list[LiveGeneration]:
    """The generations that writes to a catalog go to.

    Raises:
        CatalogNotFound: there are none: the catalog was deleted.
    """
    rows = connection.execute(
        f"""SELECT layer_id, space_id, state FROM layers
            WHERE catalog_id = ? AND state NOT IN {_GONE}""",
        (catalog_id,),
    ).fetchall()
    if not rows:
        raise errors.CatalogNotFound("there is no such catalog")
    return [
        LiveGeneration(Generation(catalog_id, "", generation_id, space_id), GenerationState(state))
        for generation_id, space_id, state in rows
    ]


def _still(transaction: Transaction, catalog: CatalogRecord) -> CatalogRecord:
    known = catalogs(transaction.connection).get(catalog.name)
    if known is None or known.catalog_id != catalog.catalog_id:
        raise errors.CatalogNotFound("there is no such catalog")
    return known


def _catalog_id(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT catalog_id FROM catalogs WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def _insert(
    transaction: Transaction, name: str, model: Model, storage: VectorStorage, *, own: bool
) -> CatalogRecord:
    (catalog_id,) = transaction.connection.execute(
        "INSERT INTO catalogs (name, vector_storage, own_model) VALUES (?, ?, ?) "
        "RETURNING catalog_id",
        (name, storage.value, int(own)),
    ).fetchone()
    _insert_generation(transaction, catalog_id, model, GenerationState.SERVING)
    return catalogs(transaction.connection)[name]


def _insert_generation(
    transaction: Transaction, catalog_id: int, model: Model, state: GenerationState
) -> None:
    connection = transaction.connection
    connection.execute(
        "INSERT INTO spaces (fingerprint) VALUES (?) ON CONFLICT DO NOTHING",
        (model.space.fingerprint,),
    )
    connection.execute(
        """INSERT INTO layers (catalog_id, space_id, dimensions_asked, state, start_us)
           SELECT ?, space_id, ?, ?, ? FROM spaces WHERE fingerprint = ?""",
        (
            catalog_id,
            model.requested_dimensions or 0,
            state.value,
            transaction.now_us,
            model.space.fingerprint,
        ),
    )


def _changed(transaction: Transaction) -> None:
    """Has every process look again, which those who follow the sequence do."""
    transaction.next_sequence()
    transaction.connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'catalogs'")
