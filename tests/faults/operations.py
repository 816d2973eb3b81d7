"""Every write of the contract, as requests that a seed chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from akin.v1 import (
    analysis_service_pb2,
    catalog_service_pb2,
    interaction_service_pb2,
    recommender_service_pb2,
)

from faults import (
    catalog_operations,
    interaction_operations,
    item_operations,
    user_operations,
)
from faults.reads import read_own_write, read_recommendations
from faults.writer import Writer

FILES = (
    recommender_service_pb2,
    catalog_service_pb2,
    analysis_service_pb2,
    interaction_service_pb2,
)

# How the names of methods begin that write nothing.
READING_VERBS = (
    "Get",
    "List",
    "BatchGet",
    "Recommend",
    "BatchRecommend",
    "Estimate",
    "Find",
    "Search",
    "Classify",
    "ClusterItems",
)


class Operation(NamedTuple):
    """A request that writers send; `method` is empty for reads. `weight` is its relative share."""

    method: str
    weight: int
    run: Callable[[Writer], None]


OPERATIONS = (
    Operation("UpsertItem", 30, item_operations.upsert_item),
    Operation("UpsertItem", 12, item_operations.upsert_shared_item),
    Operation("UpdateItem", 15, item_operations.update_item),
    Operation("ImportItems", 6, item_operations.import_items),
    Operation("DeleteItem", 10, item_operations.delete_item),
    Operation("DeleteItem", 4, item_operations.delete_shared_item),
    Operation("BatchDeleteItems", 2, item_operations.delete_items_by_ids),
    Operation("BatchDeleteItems", 1, item_operations.delete_items_by_filter),
    Operation("UpsertUser", 12, user_operations.upsert_user),
    Operation("UpdateUser", 8, user_operations.update_user),
    Operation("ImportUsers", 3, user_operations.import_users),
    Operation("DeleteUser", 5, user_operations.delete_user),
    Operation("RecordInteractions", 8, interaction_operations.record_interactions),
    Operation("ImportInteractions", 2, interaction_operations.import_interactions),
    Operation("DeleteInteractions", 4, interaction_operations.delete_interactions),
    Operation("CreateCatalog", 4, catalog_operations.create_catalog),
    Operation("DeleteCatalog", 1, catalog_operations.delete_catalog),
    Operation("UpdateCatalog", 3, catalog_operations.update_catalog),
    Operation("StartReembedding", 3, catalog_operations.start_reembedding),
    Operation("CancelReembedding", 1, catalog_operations.cancel_reembedding),
    Operation("CommitReembedding", 2, catalog_operations.commit_reembedding),
    Operation("RollbackReembedding", 1, catalog_operations.roll_back_reembedding),
    Operation("Reindex", 1, catalog_operations.reindex),
    Operation("", 10, read_own_write),
    Operation("", 4, read_recommendations),
    Operation("", 4, interaction_operations.read_own_interactions),
)


def list_write_methods() -> Iterator[str]:
    """Yield the names of all methods of the contract that write, from its descriptors."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if not method.name.startswith(READING_VERBS):
                    yield method.name


def run_writer(writer: Writer) -> None:
    """Send requests until the writer is stopped."""
    weights = [operation.weight for operation in OPERATIONS]
    while not writer.stopped.is_set():
        (operation,) = writer.rng.choices(OPERATIONS, weights)
        operation.run(writer)
