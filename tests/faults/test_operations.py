from __future__ import annotations

from akin.v1.recommender_service_pb2 import DESCRIPTOR

from faults.operations import FILES, OPERATIONS, READING_VERBS, list_write_methods
from service.api.auth import SCOPES, Scope

# Methods that need more than the scope to read, and write nothing.
EXPENSIVE_READS = {"EstimateReembedding"}


def test_every_write_of_the_contract_has_an_operation() -> None:
    """The campaign sends every method that writes, and names no other."""
    named = {operation.method for operation in OPERATIONS if operation.method}
    assert set(list_write_methods()) == named


def test_reads_are_what_keys_may_read() -> None:
    """A method that needs the scope to write is none of those that count as reads."""
    writes = {name.rpartition(".")[2] for name, scope in SCOPES.items() if scope is not Scope.READ}
    assert writes - EXPENSIVE_READS == set(list_write_methods())


def test_all_services_are_looked_at() -> None:
    """The descriptors are those of all methods that the server serves."""
    methods = {
        method.full_name
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert SCOPES.keys() == methods
    assert DESCRIPTOR.name == FILES[0].DESCRIPTOR.name
    assert not "UpsertItem".startswith(READING_VERBS)
