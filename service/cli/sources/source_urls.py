"""Addresses of other vector stores, which `akin import` accepts in place of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from service.cli.formats.rows import FileError, Row
from service.cli.interaction_builder import InteractionOptions
from service.cli.sources.chroma_documents import read_chroma
from service.cli.sources.point_mapping import PointMapping, SourcePoint
from service.cli.sources.qdrant_points import read_qdrant
from service.cli.sources.table_rows import read_postgres
from service.cli.table_mapping import TableOptions

_Reader = Callable[[SplitResult, bool], Iterator[SourcePoint]]


def is_source(file: str) -> bool:
    """Is this the address of a collection or table, and not the name of a file?"""
    scheme, separator, _ = file.partition("://")
    return bool(separator) and scheme in _READERS


def hide_credentials(file: str) -> str:
    """Return an address without user, password and parameters; other names as they are."""
    if not is_source(file):
        return file
    scheme, _, rest = file.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def check_options(
    table: TableOptions, interactions: InteractionOptions, names: Sequence[str]
) -> None:
    """Check that only options are set that suit the points of other vector stores.

    Raises:
        FileError: an option is for files.
    """
    given = {
        "--split": table.separators,
        "--as-text": table.text_columns,
        "--columns": names,
        "--interactions": interactions.is_forced,
        "--type": interactions.default_type,
        "--type-map": interactions.event_types,
        "--like-from": interactions.like_from is not None,
        "--dislike-below": interactions.dislike_below is not None,
    }
    for option, value in given.items():
        if value:
            raise FileError(f"{option} is for files, not for other vector stores")


def read_source(
    url: str,
    columns: Mapping[str, str],
    template: str,
    report: Callable[[str], object],
    dimensions: int | None = None,
) -> Iterator[Row]:
    """Return the points of a collection or table as JSON objects of items.

    Args:
        url: the address.
        columns: the fields for the fields and attributes of items; see `PointMapping`.
        template: the text of an item, with names of fields in braces; empty for a field.
        report: receives a line that says how the points are read.
        dimensions: of the catalog that gets the vectors of the points; None: they are not read.

    Raises:
        FileError: the address is invalid, the store cannot be read, the options do not suit, or
            the vectors do not fit the catalog.
    """
    try:
        parts = urlsplit(url)
        reader = _READERS[parts.scheme]
        mapping = PointMapping(reader(parts, dimensions is not None), columns, template, dimensions)
    except ValueError as exc:
        raise FileError(f"the address is invalid: {exc}") from None
    report(mapping.describe())
    return mapping.rows()


def _open_qdrant(parts: SplitResult, with_vectors: bool) -> Iterator[SourcePoint]:
    return read_qdrant(
        parts.hostname or "",
        parts.port,
        _get_path(parts),
        parts.query,
        tls=parts.scheme == "qdrant+https",
        with_vectors=with_vectors,
    )


def _open_chroma(parts: SplitResult, with_vectors: bool) -> Iterator[SourcePoint]:
    path = _get_path(parts)
    return read_chroma(parts.hostname or "", parts.port, path, with_vectors=with_vectors)


def _open_postgres(parts: SplitResult, with_vectors: bool) -> Iterator[SourcePoint]:
    # `geturl` would drop the slashes of an address without a host.
    server = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return read_postgres(server, parts.query, with_vectors=with_vectors)


def _get_path(parts: SplitResult) -> str:
    """Return the collection of a server, or the folder and the collection.

    Raises:
        FileError: the address has no collection.
    """
    path = unquote(parts.path)
    path = path.removeprefix("/") if parts.hostname else path
    if not path.rpartition("/")[2]:
        raise FileError("the address must end with the name of a collection")
    return path


_READERS: dict[str, _Reader] = {
    "qdrant": _open_qdrant,
    "qdrant+https": _open_qdrant,
    "chroma": _open_chroma,
    "postgresql": _open_postgres,
    "postgres": _open_postgres,
}
