"""Collections of Chroma. They need chromadb, which is an extra and slow to import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.cli.formats.rows import FileError, PackageMissing
from service.cli.sources.point_mapping import SourcePoint

# Documents that are read at once.
_PAGE_DOCUMENTS = 500

_PORT = 8000

# The field with a document's text, beside its metadata.
_DOCUMENT = "document"


def read_chroma(
    host: str, port: int | None, path: str, *, with_vectors: bool
) -> Iterator[SourcePoint]:
    """Yield the documents of a collection.

    Args:
        host: host of the server; empty for the folder of a persistent client.
        port: port of the server; None for the usual one.
        path: the collection, after the folder.
        with_vectors: read the vectors, too.

    Raises:
        FileError: chromadb is not installed, or the collection cannot be read.
    """
    try:
        import chromadb  # noqa: PLC0415  (an extra, and slow to import)
        from chromadb.config import Settings  # noqa: PLC0415
        from chromadb.errors import ChromaError  # noqa: PLC0415
    except ImportError as exc:
        raise PackageMissing("Chroma needs", "chromadb", "chroma", exc) from exc
    folder, _, collection = path.rpartition("/")
    # Chroma would create the folder.
    if not host and not (Path(folder) / "chroma.sqlite3").is_file():
        raise FileError(f"there is no Chroma database in the folder {folder}")
    settings = Settings(anonymized_telemetry=False)
    try:
        client = (
            chromadb.HttpClient(host, port or _PORT, settings=settings)
            if host
            else chromadb.PersistentClient(folder, settings=settings)
        )
        documents = client.get_collection(collection, embedding_function=None)
        offset = 0
        include = ["documents", "metadatas", *(["embeddings"] if with_vectors else [])]
        while True:
            page = documents.get(limit=_PAGE_DOCUMENTS, offset=offset, include=include)
            texts, metadata = page["documents"] or [], page["metadatas"] or []
            # An array, which has no truth value, or nothing.
            vectors = page.get("embeddings") if with_vectors else None
            rows = zip(page["ids"], texts, metadata, strict=True)
            for number, (point_id, text, fields) in enumerate(rows):
                own = [] if vectors is None else [vectors[number]]
                yield SourcePoint(point_id, _join(text, fields or {}), own)
            if len(page["ids"]) < _PAGE_DOCUMENTS:
                return
            offset += _PAGE_DOCUMENTS
    except (ChromaError, ValueError, OSError) as exc:
        raise FileError(f"Chroma cannot be read: {' '.join(str(exc).split())}") from exc


def _join(text: str | None, metadata: dict[str, object]) -> dict[str, object]:
    """Return the fields of a document; one that has no text has metadata only."""
    return dict(metadata) if text is None else {_DOCUMENT: text, **metadata}
