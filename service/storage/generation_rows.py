"""How catalogs and generations are written and read as rows, inside transactions of the stores."""

from __future__ import annotations

import json
from typing import Any

from service import errors
from service.domain.catalog_settings import (
    CatalogSettings,
    Prior,
    RankingMode,
    SettingsField,
    SignalMode,
)
from service.domain.generations import (
    CatalogRecord,
    Generation,
    GenerationRecord,
    GenerationState,
)
from service.domain.index_kinds import IndexKind
from service.domain.spaces import Model, Space, VectorStorage
from service.domain.text_formats import TextFormat
from service.domain.usage import TokenUsage
from service.storage.database import REMOVED_STATES
from service.storage.sql import Connection
from service.storage.writer import Transaction

# The columns of the settings of a catalog, each named after its setting.
SETTINGS_COLUMNS = tuple(SettingsField)


def read_settings_columns(
    signals: str, weights: str, new_item_boost: float, ranking: str, prior: str
) -> CatalogSettings:
    """Return the settings in their columns."""
    attribute_and_weight = json.loads(prior)
    return CatalogSettings(
        SignalMode(signals),
        json.loads(weights),
        new_item_boost,
        RankingMode(ranking),
        None if attribute_and_weight is None else Prior(*attribute_and_weight),
    )


def write_settings_columns(settings: CatalogSettings) -> tuple[str, str, float, str, str]:
    """Return the values of the columns of settings."""
    weights = json.dumps(dict(settings.interaction_weights), sort_keys=True)
    prior = None if settings.prior is None else [settings.prior.attribute, settings.prior.weight]
    return (
        settings.signals.value,
        weights,
        settings.new_item_boost,
        settings.ranking.value,
        json.dumps(prior),
    )


def read_catalogs(connection: Connection) -> dict[str, CatalogRecord]:
    """Return all catalogs with their generations, by name."""
    rows = connection.execute(
        f"""SELECT catalog_id, name, vector_storage, own_model, index_kind, next_index_kind,
                   {", ".join(SETTINGS_COLUMNS)}, text_format, generation_id, space_id,
                   state, fingerprint, dimensions_asked, start_us, prompt_tokens, cost_usd,
                   problem_reason, problem_message
            FROM catalogs JOIN generations USING (catalog_id) JOIN spaces USING (space_id)
            WHERE name IS NOT NULL AND state NOT IN {REMOVED_STATES}
            ORDER BY name, generation_id"""
    )
    catalogs: dict[str, CatalogRecord] = {}
    for catalog_id, name, storage, own_model, index, next_index, *columns in rows.fetchall():
        settings = read_settings_columns(*columns[: len(SETTINGS_COLUMNS)])
        generations = catalogs[name].generations if name in catalogs else ()
        generation = _generation_record(catalog_id, name, *columns[len(SETTINGS_COLUMNS) :])
        catalogs[name] = CatalogRecord(
            catalog_id,
            name,
            VectorStorage(storage),
            bool(own_model),
            (*generations, generation),
            settings,
            IndexKind(index),
            None if next_index is None else IndexKind(next_index),
        )
    return catalogs


def _generation_record(catalog_id: int, name: str, *columns: Any) -> GenerationRecord:  # noqa: ANN401
    text_format, generation_id, space_id, state, fingerprint, *progress = columns
    dimensions, start_us, *progress = progress
    prompt_tokens, cost_usd, problem_reason, problem_message = progress
    return GenerationRecord(
        Generation(catalog_id, name, generation_id, space_id, TextFormat(text_format)),
        GenerationState(state),
        Model(Space(**json.loads(fingerprint)), dimensions or None),
        start_us,
        TokenUsage(prompt_tokens, cost_usd),
        problem_reason,
        problem_message,
    )


def read_catalog_again(connection: Connection, catalog: CatalogRecord) -> CatalogRecord:
    """Return a catalog as it is now.

    Raises:
        CatalogNotFound: the catalog was deleted.
    """
    record = read_catalogs(connection).get(catalog.name)
    if record is None or record.catalog_id != catalog.catalog_id:
        raise errors.CatalogNotFound(f"catalog {catalog.name!r} does not exist")
    return record


def insert_catalog(  # noqa: PLR0913  (each is a column)
    transaction: Transaction,
    name: str,
    model: Model,
    storage: VectorStorage,
    text_format: TextFormat,
    settings: CatalogSettings,
    *,
    index: IndexKind,
    own_model: bool,
) -> CatalogRecord:
    """Insert a catalog with a serving generation."""
    (catalog_id,) = transaction.connection.execute(
        f"""INSERT INTO catalogs
            (name, vector_storage, own_model, text_format, index_kind,
             {", ".join(SETTINGS_COLUMNS)})
            VALUES (?, ?, ?, ?, ?{", ?" * len(SETTINGS_COLUMNS)}) RETURNING catalog_id""",
        (
            name,
            storage.value,
            own_model,
            text_format.value,
            index.value,
            *write_settings_columns(settings),
        ),
    ).fetchone()
    insert_generation(transaction, catalog_id, model, GenerationState.SERVING)
    return read_catalogs(transaction.connection)[name]


def insert_generation(
    transaction: Transaction, catalog_id: int, model: Model, state: GenerationState
) -> None:
    """Insert a generation of a catalog, and its space if it is new."""
    connection, fingerprint = transaction.connection, model.space.fingerprint
    connection.execute(
        "INSERT INTO spaces (fingerprint) VALUES (?) ON CONFLICT DO NOTHING", (fingerprint,)
    )
    connection.execute(
        """INSERT INTO generations (catalog_id, space_id, dimensions_asked, state, start_us)
           SELECT ?, space_id, ?, ?, ? FROM spaces WHERE fingerprint = ?""",
        (
            catalog_id,
            model.requested_dimensions or 0,
            state.value,
            transaction.now_us,
            fingerprint,
        ),
    )


def set_state(transaction: Transaction, generation: Generation, state: GenerationState) -> None:
    """Set the state of a generation, unless it is being removed."""
    transaction.connection.execute(
        f"""UPDATE generations SET state = ?
            WHERE generation_id = ? AND state NOT IN {REMOVED_STATES}""",
        (state.value, generation.generation_id),
    )
    note_change(transaction)


def note_change(transaction: Transaction) -> None:
    """Count a change of catalogs, which every process sees that follows the sequence."""
    transaction.next_sequence()
    transaction.live_generations = {}
    transaction.connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'catalogs'")
