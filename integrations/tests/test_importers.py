"""`akin import` from Qdrant and Chroma: their local modes, and servers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import chromadb
import pytest
from chromadb.config import Settings
from qdrant_client import QdrantClient, models
from support.server import RunningServer
from support.waiting import until
from typer.testing import CliRunner, Result

from service.cli.main import app

# More than one page of each reader.
COUNT = 1_203

TEXTS = [f"shoe number {number % 50}" for number in range(COUNT)]


def run(url: str, server: RunningServer, catalog: str, *words: str) -> Result:
    """Return the result of an import."""
    words = ("--catalog", catalog, "import", url, *words, "--address", server.address, "--json")
    return CliRunner().invoke(app, words)


def check_items(server: RunningServer, catalog: str, result: Result, ids: list[str]) -> None:
    """Check that the catalog has all points, each with its text and attributes."""
    assert 0 == result.exit_code, result.output
    assert COUNT == json.loads(result.stdout)["items"]
    with server.client(catalog=catalog) as client:
        for start in range(0, COUNT, 1_000):
            items = client.batch_get_items(ids[start : start + 1_000]).items
            for number, item in enumerate(items, start):
                assert TEXTS[number] == item.text
                assert {"price": number} == dict(item.attributes)
        assert COUNT == client.get_catalog().item_count


@pytest.fixture(scope="module")
def qdrant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of qdrant-client's local mode with the collection `shoes`."""
    folder = tmp_path_factory.mktemp("qdrant")
    with closing(QdrantClient(path=str(folder))) as client:
        client.create_collection(
            "shoes", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
        )
        payloads = [{"page_content": text, "price": n} for n, text in enumerate(TEXTS)]
        client.upsert(
            "shoes",
            models.Batch(ids=list(range(COUNT)), vectors=[[1.0, 2.0]] * COUNT, payloads=payloads),
        )
    return folder


@pytest.fixture(scope="module")
def chroma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Chroma's persistent client with the collection `shoes`."""
    folder = tmp_path_factory.mktemp("chroma")
    client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
    client.create_collection("shoes", embedding_function=None).add(
        ids=[f"c{number}" for number in range(COUNT)],
        documents=TEXTS,
        metadatas=[{"price": number} for number in range(COUNT)],
        embeddings=[[1.0, 2.0]] * COUNT,
    )
    return folder


@pytest.fixture
def chroma_address(chroma_folder: Path) -> Iterator[str]:
    """The address of a Chroma server over the folder."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = Path(sys.executable).with_name("chroma")
    words = [program, "run", "--path", chroma_folder, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _accepts(port))
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


class _Scroll(BaseHTTPRequestHandler):
    """Answers as Qdrant's REST API does, in pages of two points."""

    keys: ClassVar[set[str | None]] = set()

    def do_POST(self) -> None:
        """Answer a call of scroll."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.keys.add(self.headers["api-key"])
        if self.path != "/collections/shoes/points/scroll":
            self._answer(404, {"status": {"error": "Not found: Collection `x` doesn't exist!"}})
            return
        start = request.get("offset") or 0
        points = [{"id": n, "payload": {"text": f"shoe {n}"}} for n in range(start, start + 2)]
        following = start + 2 if start < 4 else None
        result = {"points": points, "next_page_offset": following}
        self._answer(200, {"result": result, "status": "ok", "time": 0.1})

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def qdrant_address() -> Iterator[str]:
    """The address of a server with Qdrant's method for reading."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Scroll) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_qdrant_folders(server: RunningServer, catalog: str, qdrant_folder: Path) -> None:
    """All points of a collection in local mode become items."""
    result = run(f"qdrant://{qdrant_folder}/shoes", server, catalog)
    check_items(server, catalog, result, [str(number) for number in range(COUNT)])


def test_qdrant_servers(
    server: RunningServer, catalog: str, qdrant_address: str, tmp_path: Path
) -> None:
    """The points of a server are read page by page, with the key of a file."""
    key = tmp_path / "key"
    key.write_text("secret\n")
    result = run(f"qdrant://{qdrant_address}/shoes?api_key_file={key}", server, catalog)
    assert 0 == result.exit_code, result.output
    assert {"secret"} == _Scroll.keys
    with server.client(catalog=catalog) as client:
        items = client.list_items().items
        assert [(str(n), f"shoe {n}") for n in range(6)] == [(i.item_id, i.text) for i in items]
    missing = run(f"qdrant://{qdrant_address}/boots", server, catalog)
    assert 2 == missing.exit_code
    assert "Not found: Collection `x`" in missing.stderr


def test_chroma_folders(server: RunningServer, catalog: str, chroma_folder: Path) -> None:
    """All documents of a collection in a folder become items, and a second import changes none."""
    ids = [f"c{number}" for number in range(COUNT)]
    check_items(server, catalog, run(f"chroma://{chroma_folder}/shoes", server, catalog), ids)
    again = run(f"chroma://{chroma_folder}/shoes", server, catalog)
    check_items(server, catalog, again, ids)
    assert 0 == json.loads(again.stdout)["embedded_texts"]


def test_chroma_servers(server: RunningServer, catalog: str, chroma_address: str) -> None:
    """All documents of a server's collection become items."""
    result = run(f"chroma://{chroma_address}/shoes", server, catalog)
    check_items(server, catalog, result, [f"c{number}" for number in range(COUNT)])


def add_wide_points(kind: str, folder: Path, vectors: list[list[float]]) -> str:
    """Return the address of a new collection with these vectors."""
    if kind == "chroma":
        chroma = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
        wide = chroma.create_collection("wide", embedding_function=None)
        wide.add(
            ids=[str(number) for number in range(len(vectors))],
            documents=TEXTS[: len(vectors)],
            embeddings=vectors,
        )
        return f"chroma://{folder}/wide"
    params = models.VectorParams(size=len(vectors[0]), distance=models.Distance.COSINE)
    with closing(QdrantClient(path=str(folder))) as client:
        client.create_collection("wide", vectors_config=params)
        payloads = [{"text": text} for text in TEXTS[: len(vectors)]]
        ids = list(range(len(vectors)))
        client.upsert("wide", models.Batch(ids=ids, vectors=vectors, payloads=payloads))
    return f"qdrant://{folder}/wide"


@pytest.mark.parametrize("kind", ["qdrant", "chroma"])
def test_vectors_are_kept_on_request(
    server: RunningServer, catalog: str, tmp_path: Path, kind: str
) -> None:
    """With --vectors, nothing is embedded, and items have the vectors of their points."""
    with server.client(catalog=catalog) as client:
        width = client.get_catalog().space.dimensions
        axes = [[float(place == number) for place in range(width)] for number in range(3)]
        url = add_wide_points(kind, tmp_path, axes)
        result = run(url, server, catalog, "--vectors")
        assert 0 == result.exit_code, result.output
        assert 0 == json.loads(result.stdout)["embedded_texts"]
        items = client.list_items(include_vectors=True).items
        assert [[axis] for axis in axes] == [[list(v.values) for v in i.vectors] for i in items]


@pytest.mark.parametrize("kind", ["qdrant", "chroma"])
def test_vectors_of_another_width_are_refused(
    server: RunningServer, chroma_folder: Path, qdrant_folder: Path, kind: str
) -> None:
    """Vectors that cannot be of the catalog's model end the command with both widths."""
    folder = {"qdrant": qdrant_folder, "chroma": chroma_folder}[kind]
    result = run(f"{kind}://{folder}/shoes", server, "default", "--vectors")
    assert 2 == result.exit_code
    assert "the vectors have 2 values, and those of the catalog 256" in result.stderr


def test_named_vectors_are_refused(server: RunningServer, tmp_path: Path) -> None:
    """Vectors with names could be of several models."""
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    with closing(QdrantClient(path=str(tmp_path))) as client:
        client.create_collection("named", vectors_config={"title": params})
        point = models.PointStruct(id=1, vector={"title": [1.0, 2.0]}, payload={"text": "a"})
        client.upsert("named", [point])
    result = run(f"qdrant://{tmp_path}/named", server, "default", "--vectors")
    assert 2 == result.exit_code
    assert "--vectors needs vectors without names; those of the points are: title" in result.stderr


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("chroma:///no-such-folder/shoes", "no Chroma database in the folder /no-such-folder"),
        ("chroma://{chroma}/boots", "[boots] does not exist"),
        ("chroma://127.0.0.1:1/shoes", "Could not connect"),
        ("qdrant:///no-such-folder/shoes", "no folder /no-such-folder"),
        ("qdrant://{qdrant}/boots", "Collection boots not found"),
        ("qdrant://127.0.0.1:1/shoes", "Connection refused"),
        ("qdrant://127.0.0.1:1/shoes?key=a", "unknown parameter key"),
        ("qdrant://127.0.0.1:1/shoes?api_key_file=/nothing", "api_key_file cannot be read"),
    ],
)
def test_unreadable_collections_are_refused(
    server: RunningServer, chroma_folder: Path, qdrant_folder: Path, url: str, error: str
) -> None:
    """The command ends with status 2 and one line that says why."""
    url = url.format(chroma=chroma_folder, qdrant=qdrant_folder)
    result = run(url, server, "default")
    assert 2 == result.exit_code
    assert error in result.stderr
    assert 1 == len(result.stderr.splitlines())
