import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import psycopg
import pytest
from akin.v1 import catalog_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from support.postgres import shared_server
from support.recording import RecordingServer
from typer.testing import CliRunner, Result

from service.cli.formats.rows import FileError, LineError
from service.cli.main import app
from service.cli.sources.point_mapping import PointMapping, SourcePoint
from service.cli.sources.qdrant_points import list_vectors
from service.cli.sources.source_urls import hide_credentials, is_source

STORED = pb.ImportItemsResponse(results=[akin.ItemResult(sequence=1), akin.ItemResult(sequence=2)])


# pgvector is not in every distribution: a type of its name stands in for its own.
SHOES = """
    CREATE DOMAIN vector AS float8[];
    CREATE TABLE "Shoes" (
        sku uuid PRIMARY KEY, body text, price numeric, meta jsonb, made timestamptz,
        embedding vector, image bytea
    );
    INSERT INTO "Shoes" VALUES
    ('00000000-0000-0000-0000-000000000001', 'Trail shoes', 89.5, '{"tags": ["wet"], "n": 1}',
     '2026-01-02T10:00:00Z', '{1,2}', 'x'),
    ('00000000-0000-0000-0000-000000000002', 'Road shoes', NULL, '{"n": 2}', NULL, '{1,2}', 'x');
"""


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The address of a database with a table as applications of pgvector have it."""
    address = shared_server().open_empty(tmp_path)
    with psycopg.connect(address) as connection:
        connection.execute(SHOES)
    return address


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["import", *words])


def map_points(*points: SourcePoint, template: str = "", **columns: str) -> list[Any]:
    mapping = PointMapping(iter(points), columns, template)
    return [row.value for row in mapping.rows()]


def test_tables_are_imported_without_vectors(database: str) -> None:
    """Columns become ids, texts and attributes of their types, and JSON can be the attributes."""
    with RecordingServer({"ImportItems": [STORED]}) as server:
        columns = ("--map", "id=sku", "--map", "text=body", "--map", "attributes=meta")
        address = ("--address", server.address)
        result = run(f'{database}&table="Shoes"', *columns, "--json", *address)
        assert 0 == result.exit_code, result.output
        assert 2 == json.loads(result.stdout)["items"]
        assert "id from sku, text from body" in result.stderr
        items = [
            MessageToDict(item, preserving_proto_field_name=True)
            for request in server.requests
            for item in getattr(request, "items", ())
        ]
    first = {"tags": ["wet"], "n": 1, "price": 89.5, "made": "2026-01-02T10:00:00+00:00"}
    assert [
        ("00000000-0000-0000-0000-000000000001", "Trail shoes", first),
        ("00000000-0000-0000-0000-000000000002", "Road shoes", {"n": 2}),
    ] == [(item["item_id"], item["text"], item["attributes"]) for item in items]


def test_vectors_of_tables_are_imported_on_request(database: str) -> None:
    """With --vectors, items have the vectors of their rows; a row without one has none."""
    with psycopg.connect(database) as connection:
        connection.execute('UPDATE "Shoes" SET embedding = NULL WHERE price IS NULL')
    catalog = catalog_service_pb2.Catalog(space=catalog_service_pb2.EmbeddingSpace(dimensions=2))
    answers: dict[str, list[Message]] = {
        "ImportItems": [STORED],
        "GetCatalog": [catalog_service_pb2.GetCatalogResponse(catalog=catalog)],
    }
    with RecordingServer(answers) as server:
        columns = ("--map", "id=sku", "--map", "text=body", "--vectors")
        result = run(f'{database}&table="Shoes"', *columns, "--address", server.address)
        assert 0 == result.exit_code, result.output
        items = [item for request in server.requests for item in getattr(request, "items", ())]
    assert [[[1.0, 2.0]], []] == [[list(each.values) for each in item.vectors] for item in items]
    assert all("embedding" not in item.attributes for item in items)


@pytest.mark.parametrize(
    ("change", "dimensions", "error"),
    [
        ("", 3, "the vectors have 2 values, and those of the catalog 3"),
        ("ADD COLUMN title vector", 2, "and the table has several: embedding, title"),
        ("DROP COLUMN embedding", 2, "and the table has none"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    database: str, change: str, dimensions: int, error: str
) -> None:
    """Vectors of another width, or no or several columns of them, end the command with why."""
    if change:
        with psycopg.connect(database) as connection:
            connection.execute(f'ALTER TABLE "Shoes" {change}')
    catalog = catalog_service_pb2.Catalog(
        space=catalog_service_pb2.EmbeddingSpace(dimensions=dimensions)
    )
    answers: dict[str, list[Message]] = {
        "GetCatalog": [catalog_service_pb2.GetCatalogResponse(catalog=catalog)]
    }
    with RecordingServer(answers) as server:
        columns = ("--map", "id=sku", "--map", "text=body", "--vectors")
        result = run(f'{database}&table="Shoes"', *columns, "--address", server.address)
    assert 2 == result.exit_code
    assert error in " ".join(result.stderr.split())


def test_vectors_of_points_have_no_names() -> None:
    """A point of Qdrant has no vector, one or several; named ones could be of several models."""
    assert [] == list_vectors(None) == list_vectors({})
    assert [[1.0, 2.0]] == list_vectors([1.0, 2.0])
    assert [[1.0], [2.0]] == list_vectors([[1.0], [2.0]])
    with pytest.raises(FileError, match="without names; those of the points are: body, title"):
        list_vectors({"title": [1.0], "body": [2.0]})


@pytest.mark.parametrize(
    ("table", "words", "error"),
    [
        ("nothing", (), 'relation "nothing" does not exist'),
        ("", (), "no table is named; add ?table=NAME"),
        ('"Shoes"', (), "no field is the text|no column is named id"),
        ('"Shoes"', ("--map", "id=sku", "--map", "text=bodi"), "no column bodi; did you mean body"),
        ('"Shoes"', ("--split", "body=,"), "--split is for files"),
    ],
)
def test_unreadable_tables_are_refused(
    database: str, table: str, words: tuple[str, ...], error: str
) -> None:
    """The command ends with status 2 and one line that says why, without the credentials."""
    result = run(f"{database}&table={table}", *words)
    assert 2 == result.exit_code
    assert any(part in result.stderr for part in error.split("|")), result.stderr
    assert "akin@" not in result.stderr


@pytest.mark.parametrize(
    ("url", "module", "error"),
    [
        ("qdrant://localhost/shoes", "qdrant_client", "Qdrant needs qdrant-client: pip install"),
        ("chroma:///data/shoes", "chromadb", "Chroma needs chromadb: pip install"),
    ],
)
def test_sources_without_their_package_are_refused(url: str, module: str, error: str) -> None:
    """The packages are extras, and the error names the one to install."""
    program = (
        f"import sys; sys.modules[{module!r}] = None; from service.cli.main import app; "
        f"app(['import', {url!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert 2 == result.returncode
    assert error in result.stderr


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("chroma://localhost", "must end with the name of a collection"),
        ("qdrant://localhost:port/shoes", "the address is invalid"),
    ],
)
def test_incomplete_addresses_are_refused(url: str, error: str) -> None:
    """The command ends with status 2 and names what is wrong with the address."""
    result = run(url)
    assert 2 == result.exit_code
    assert error in result.stderr


def test_addresses_are_no_files() -> None:
    """Only the known schemes are addresses, whose credentials are not printed."""
    assert is_source("qdrant+https://host/shoes")
    assert not is_source("items.jsonl")
    assert not is_source("s3://bucket/items.jsonl")
    assert "postgresql://db/shop" == hide_credentials("postgresql://me:secret@db/shop?table=shoes")
    assert "a@b?c" == hide_credentials("a@b?c")


def test_usual_names_of_texts_are_found() -> None:
    """The text is a field with a usual name, and the other fields are attributes."""
    assert [
        {"id": "7", "text": "red", "attributes": {"price": 9, "id": 3}},
        {"id": "8", "text": "blue", "attributes": {"late": True}},
    ] == map_points(
        SourcePoint(7, {"page_content": "red", "price": 9, "id": 3}),
        SourcePoint("8", {"page_content": "blue", "late": True, "price": None}),
    )


def test_fields_can_be_chosen() -> None:
    """Options choose the id, the text, the expiry, the attributes and names of attributes."""
    point = SourcePoint(
        1, {"sku": 5, "t": "red", "b": "shoe", "end": "2030-01-01", "metadata": {"p": 9}, "c": "x"}
    )
    columns = {"id": "sku", "expire_time": "end", "attributes": "metadata", "color": "c"}
    assert [
        {
            "id": "5",
            "text": "red shoe",
            "expire_time": "2030-01-01",
            "attributes": {"p": 9, "color": "x"},
        }
    ] == map_points(point, template="{t} {b}", **columns)


@pytest.mark.parametrize(
    ("fields", "columns", "error"),
    [
        ({"text": None}, {}, "text: there is no text"),
        ({"text": 5}, {}, "text: there is no text"),
        ({"text": "a", "sku": None}, {"id": "sku"}, "id: there is none"),
        ({"text": "a", "m": [1]}, {"attributes": "m"}, "m: --map attributes=m needs an object"),
        ({"text": "a", "m": {"p": 1}, "p": 2}, {"attributes": "m"}, "two fields have this name"),
        ({"text": "a", "f": float("nan")}, {}, "f: nan cannot be stored"),
    ],
)
def test_invalid_points_do_not_affect_others(
    fields: dict[str, object], columns: dict[str, str], error: str
) -> None:
    """A point that is no item is an invalid line."""
    (value,) = map_points(SourcePoint(1, fields), **columns)
    assert isinstance(value, LineError)
    assert error in str(value)


@pytest.mark.parametrize(
    ("point_id", "columns", "template", "error"),
    [
        (1, {}, "", "no field is the text; choose one with --map text=FIELD: title, n"),
        (1, {"text": "titel"}, "", "no column titel; did you mean title"),
        (1, {"text": "title"}, "{title}", "exclude each other"),
        (None, {"text": "title"}, "", "no column is named id"),
    ],
)
def test_options_must_suit_the_fields(
    point_id: object, columns: dict[str, str], template: str, error: str
) -> None:
    """Options that name no field, and points without a text, are refused before the import."""
    points: Iterator[SourcePoint] = iter([SourcePoint(point_id, {"title": "a", "n": 1})])
    with pytest.raises(FileError, match=error):
        PointMapping(points, columns, template)


def test_empty_collections_have_no_rows() -> None:
    """A collection without points is imported as nothing, whatever the options are."""
    assert [] == map_points(text="title")
