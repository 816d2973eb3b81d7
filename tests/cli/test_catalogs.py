import akin
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.message import Message
from support.recording import RecordingServer
from typer.testing import CliRunner

from service.cli.main import app

CATALOG = akin.Catalog(
    name="shoes",
    item_count=9,
    user_count=2,
    space=akin.EmbeddingSpace(provider="openrouter", model="large", dimensions=1024),
    pending_items=[
        akin.PendingItems(reason="EMBEDDING_UNAVAILABLE", message="no response", item_count=3),
        akin.PendingItems(reason="TEXT_REJECTED", message="too long", item_count=1),
    ],
    index=akin.IndexStats(memory_bytes=2_500_000),
    text_format=pb.TEXT_FORMAT_HTML,
)


def test_catalogs_table() -> None:
    """A row has the model and counts of a catalog, with pending items of all reasons added up."""
    response = pb.ListCatalogsResponse(catalogs=[CATALOG])
    with RecordingServer({"ListCatalogs": [response]}) as server:
        output = CliRunner().invoke(app, ["catalogs", "list", "--address", server.address]).stdout
    (header,) = (line for line in output.splitlines() if line.startswith("┃"))
    (row,) = (line for line in output.splitlines() if line.startswith("│"))
    assert {
        "catalog": "shoes",
        "model": "large",
        "provider": "openrouter",
        "texts": "html",
        "dimensions": "1024",
        "items": "9",
        "users": "2",
        "pending": "4",
        "index, MB": "2.5",
    } == dict(zip(split(header, "┃"), split(row, "│"), strict=True))


def split(line: str, border: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in line.split(border)[1:-1]]


def test_catalog_options_reach_the_server() -> None:
    """A catalog is created with the given options only, and its model is printed."""
    response = pb.CreateCatalogResponse(catalog=CATALOG)
    with RecordingServer({"CreateCatalog": [response]}) as server:
        words = ("shoes", "--dimensions", "1024", "--vectors", "float16", "--text-format", "html")
        result = CliRunner().invoke(
            app, ["catalogs", "create", *words, "--address", server.address]
        )
    request = pb.CreateCatalogRequest(
        catalog="shoes",
        embedding=pb.EmbeddingModel(dimensions=1024),
        vector_storage=pb.VECTOR_STORAGE_FLOAT16,
        text_format=pb.TEXT_FORMAT_HTML,
    )
    assert [request] == server.requests
    assert "created shoes: large (openrouter), 1024 dimensions\n" == result.stdout


def test_deleting_asks_for_confirmation() -> None:
    """A catalog is deleted only after a confirmation, or with --yes."""
    responses: dict[str, list[Message]] = {"GetCatalog": [pb.GetCatalogResponse(catalog=CATALOG)]}
    with RecordingServer(responses) as server:
        words = ["catalogs", "delete", "shoes", "--address", server.address]
        refused = CliRunner().invoke(app, words, input="n\n")
        assert [pb.GetCatalogRequest(catalog="shoes")] == server.requests
        confirmed = CliRunner().invoke(app, [*words, "--yes"])
    assert "Delete the catalog shoes with 9 items? [y/N]" in refused.stdout
    assert (1, 0) == (refused.exit_code, confirmed.exit_code)
    assert pb.DeleteCatalogRequest(catalog="shoes") == server.requests[-1]
    assert "deleted shoes\n" == confirmed.stdout
