"""Collections of Qdrant. They need qdrant-client, which is an extra and slow to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

from service.cli.formats.rows import FileError, PackageMissing
from service.cli.sources.point_mapping import SourcePoint

# Points that are read at once.
_PAGE_POINTS = 500

_REST_PORT = 6333

# Qdrant answers a page in milliseconds, unless its payloads are on a slow disk.
_TIMEOUT_SECONDS = 60


def read_qdrant(
    host: str, port: int | None, path: str, query: str, *, tls: bool, with_vectors: bool
) -> Iterator[SourcePoint]:
    """Yield the points of a collection.

    Args:
        host: host of the server; empty for a folder of qdrant-client's local mode.
        port: port of the REST API; None for the usual one.
        path: the collection, after the folder of the local mode.
        query: `api_key_file=PATH` for a server that requires a key.
        tls: use HTTPS.
        with_vectors: read the vectors, too.

    Raises:
        FileError: qdrant-client is not installed, the collection cannot be read, or its vectors
            have names.
    """
    try:
        from qdrant_client import QdrantClient  # noqa: PLC0415  (an extra, and slow to import)
        from qdrant_client.http.exceptions import ApiException  # noqa: PLC0415
    except ImportError as exc:
        raise PackageMissing("Qdrant needs", "qdrant-client", "qdrant", exc) from exc
    folder, _, collection = path.rpartition("/")
    if not host and not Path(folder).is_dir():
        raise FileError(f"there is no folder {folder}")
    key = _read_key(query)
    try:
        if host:
            address = f"{'https' if tls else 'http'}://{host}:{port or _REST_PORT}"
            client = QdrantClient(
                url=address, api_key=key, timeout=_TIMEOUT_SECONDS, check_compatibility=False
            )
        else:
            client = QdrantClient(path=folder)
        offset = None
        while True:
            points, offset = client.scroll(
                collection,
                limit=_PAGE_POINTS,
                offset=offset,
                with_payload=True,
                with_vectors=with_vectors,
            )
            for point in points:
                yield SourcePoint(point.id, point.payload or {}, list_vectors(point.vector))
            if offset is None:
                client.close()
                return
    except (ApiException, ValueError, RuntimeError, OSError) as exc:
        raise FileError(f"Qdrant cannot be read: {' '.join(str(exc).split())}") from exc


def list_vectors(vector: object) -> list[list[float]]:
    """Return the vectors of a point, which has none, one, or a list of several.

    In a collection with names of vectors, a point without vectors has an empty dict of them.

    Raises:
        FileError: the vectors have names, so that more than one space is possible.
    """
    if isinstance(vector, dict) and vector:
        names = ", ".join(sorted(map(str, vector)))
        raise FileError(f"--vectors needs vectors without names; those of the points are: {names}")
    if not isinstance(vector, list) or not vector:
        return []
    return vector if isinstance(vector[0], list) else [vector]


def _read_key(query: str) -> str | None:
    names = parse_qs(query)
    unknown = names.keys() - {"api_key_file"}
    if unknown:
        raise FileError(f"unknown parameter {min(unknown)}; the only one is api_key_file")
    if not names:
        return None
    try:
        return Path(names["api_key_file"][0]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise FileError(f"api_key_file cannot be read: {exc}") from None
