"""Between the kinds of index in messages and domain values."""

from __future__ import annotations

from akin.v1 import catalog_service_pb2 as pb

from service import errors
from service.domain.generations import DEFAULT_CATALOG
from service.domain.index_kinds import IndexKind
from service.domain.validation import write_violations
from service.domain.violations import Violation

_NUMBERS: dict[IndexKind, pb.IndexKind.ValueType] = {
    IndexKind.MEMORY: pb.INDEX_KIND_MEMORY,
    IndexKind.SHARED: pb.INDEX_KIND_SHARED,
}
_KINDS = {number: kind for kind, number in _NUMBERS.items()}


def read_index_kind(
    number: pb.IndexKind.ValueType, violations: list[Violation]
) -> IndexKind | None:
    """Return a kind of index, None if it is unset; add a violation if none has the number."""
    kind = _KINDS.get(number)
    if kind is None and number != pb.INDEX_KIND_UNSPECIFIED:
        violations.append(Violation("index_kind", "must be a value of IndexKind"))
    return kind


def index_kind_number(kind: IndexKind | None) -> pb.IndexKind.ValueType:
    """Return the number of a kind of index in messages; None is the unset one."""
    return pb.INDEX_KIND_UNSPECIFIED if kind is None else _NUMBERS[kind]


def parse_reindex(request: pb.ReindexRequest) -> tuple[str, IndexKind]:
    """Return the name of a catalog, and the kind of index to change to.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*write_violations(request.catalog)]
    kind = read_index_kind(request.index_kind, violations)
    if request.index_kind == pb.INDEX_KIND_UNSPECIFIED:
        violations.append(Violation("index_kind", "must be set"))
    if kind is None or violations:
        raise errors.InvalidRequest(violations)
    return request.catalog or DEFAULT_CATALOG, kind
