"""Checks of how far the re-embedding of a catalog is, inside transactions of the stores."""

from __future__ import annotations

from service import errors
from service.domain.generations import CatalogRecord, GenerationRecord


def forbid_during_reembedding(record: CatalogRecord) -> None:
    """Require that a catalog has only the generation that serves.

    Raises:
        ReembeddingUnderWay: it has a next one.
        ReembeddingNotCommitted: it has a previous one.
    """
    if record.next is not None:
        raise errors.ReembeddingUnderWay(f"catalog {record.name!r} is being re-embedded")
    if record.previous is not None:
        raise make_not_committed(record)


def require_previous(record: CatalogRecord) -> GenerationRecord:
    """Return the previous generation of a catalog.

    Raises:
        ReembeddingUnderWay: the catalog has a next one, which does not serve yet.
        ReembeddingNotFound: the catalog has neither.
    """
    if record.next is not None:
        raise errors.ReembeddingUnderWay(
            f"the new generation of catalog {record.name!r} does not serve yet"
        )
    if record.previous is None:
        raise make_not_reembedded(record)
    return record.previous


def make_not_reembedded(record: CatalogRecord) -> errors.ReembeddingNotFound:
    """Return the error of a catalog that is not being re-embedded."""
    return errors.ReembeddingNotFound(f"catalog {record.name!r} is not being re-embedded")


def make_not_committed(record: CatalogRecord) -> errors.ReembeddingNotCommitted:
    """Return the error of a catalog with a previous generation."""
    return errors.ReembeddingNotCommitted(
        f"commit or roll back the previous re-embedding of catalog {record.name!r} first"
    )
